import CasemateLinux
import Foundation
import Testing

@testable import CasemateWarden

@Suite("Profiles of runtimes")
struct ProfileTests {
    /// Settings with a runtime that is installed as `casemate runtime install` leaves it, and a template of the test's own.
    private func withProfile(_ template: String, link: String = "python3.11-2026", _ body: (WardenSettings) throws -> Void) throws {
        try withFolder { folder throws in
            try put(template, at: folder + "/parts/profiles/python3.11.run.json")
            try FileManager.default.createDirectory(atPath: folder + "/runtimes/python3.11-2026", withIntermediateDirectories: true)
            #expect(symlink(link, folder + "/runtimes/python3.11") == 0)
            try body(
                WardenSettings(
                    instance: "test", store: folder, runtimes: folder + "/runtimes", parts: folder + "/parts", tools: "/t", peerUID: 1))
        }
    }

    private func fill(_ template: String, _ values: [(name: String, value: String)]) throws -> String {
        var filled = ""
        try withProfile(template) { filled = try Profile(name: "python3.11", purpose: .run, settings: $0).configuration(values) }
        return filled
    }

    @Test("marks are replaced, each by its own value, and a value is not looked into")
    func marks() throws {
        #expect(try fill("{@A@,@B@,@A@}", [("A", "1"), ("B", "x@A@")]) == "{1,x@A@,1}")
        #expect(try fill("no mark", []) == "no mark")
    }

    @Test("a mark without a value, and half a mark, are errors", arguments: ["{@C@}", "{@A}", "@", "{@A@}@"])
    func leftOver(template: String) { #expect(throws: SystemError.self) { try fill(template, [("A", "1")]) } }

    @Test("a value that could end a JSON string is refused", arguments: ["\"", "a\"b", "\\", "a\nb", "\0", "\u{1f}", "\t"])
    func quotes(value: String) { #expect(throws: SystemError.self) { try fill("{@A@}", [("A", value)]) } }

    @Test("the root file system is the folder that the runtime's link names")
    func rootfs() throws {
        try withProfile("{}") { settings throws in
            #expect(try Profile(name: "python3.11", purpose: .run, settings: settings).rootfs == settings.runtimes + "/python3.11-2026")
            #expect(throws: SystemError.self) { try Profile(name: "python3.12", purpose: .run, settings: settings) }
            #expect(throws: SystemError.self) { try Profile(name: "python3.11", purpose: .build, settings: settings) }
        }
    }

    @Test(
        "a runtime's link that leads elsewhere is refused",
        arguments: ["/etc", "../python3.11-x", "other-1", "python3.11-a/b", "python3.11"])
    func link(target: String) throws {
        try withProfile("{}", link: target) { settings throws in
            #expect(throws: SystemError.self) { try Profile(name: "python3.11", purpose: .run, settings: settings) }
        }
    }

    @Test(
        "profile names are letters, digits, dots and dashes",
        arguments: ["python3.11", "a", "node-20", "x.y-z", String(repeating: "p", count: 32)])
    func goodNames(name: String) { #expect(Profile.isName(name)) }

    @Test(
        "nothing else is a profile's name",
        arguments: [
            "", ".", "..", "a..b", "../x", "a/b", "3python", "-a", ".a", "Python", "a b", "a\0", "a_b", "é", "p@q",
            String(repeating: "p", count: 33),
        ])
    func badNames(name: String) {
        #expect(!Profile.isName(name))
    }

    @Test("instance names are letters, digits and inner dashes", arguments: ["blue", "0", "a-b", String(repeating: "a", count: 40)])
    func goodInstances(name: String) { #expect(WardenSettings.isInstance(name)) }

    @Test(
        "nothing else is an instance's name",
        arguments: ["", "-a", "uids", "a/b", "..", "A", "a.b", "a b", "a\0", String(repeating: "a", count: 41)])
    func badInstances(name: String) { #expect(!WardenSettings.isInstance(name)) }
}
