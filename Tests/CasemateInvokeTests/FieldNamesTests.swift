import Testing

@testable import CasemateInvoke

@Suite("Names of header fields")
struct FieldNamesTests {
    private let names = FieldNames(["te", "connection", "x-auth-token"], prefixes: ["casemate-"])

    @Test(
        "are found in any case",
        arguments: [
            "te", "TE", "Connection", "X-Auth-Token", "X-AUTH-TOKEN", "casemate-x", "CaseMate-Timing", "x_auth-TOKEN", "casemate_x",
        ])
    func found(name: String) { #expect(names.contains(name)) }

    @Test(
        "are not found in part, or by letters that only look alike",
        arguments: ["t", "tee", "connectio", "casemate", "x-auth+token", "", "conneKtion", "\u{212A}"])
    func other(name: String) { #expect(!names.contains(name)) }
}
