import CasemateModel
import Testing

@Suite("env and secrets")
struct ManifestSecrecyTests {
    static let nameRule = "a name is 1 to 128 of letters, digits, _ and -, and does not start with a digit or -"
    static let value = "secret values don't belong in the manifest; keep only the name and type: casemate secret set NAMESPACE/hello"

    @Test("are checked", arguments: environment + secrets)
    func check(answer: Answer) { #expect(diagnostics(answer.text) == answer.lines) }

    static let environment: [Answer] = [
        .line6("env: {DEBUG: true}", "the value of DEBUG is read as a boolean, not as a text; write it in quotes: \"true\""),
        .line6("env: {COUNTRY: NO}", "the value of COUNTRY is read as a boolean, not as a text; write it in quotes: \"NO\""),
        .line6("env: {N: 1}", "the value of N is read as a number, not as a text; write it in quotes"),
        .line6("env: {N: 0x1f}", "the value of N is read as a number, not as a text; write it in quotes"),
        .line6("env: {N: 12:30:45}", "the value of N is read as a number, not as a text; write it in quotes"),
        .line6("env: {N: 1e3}", "the value of N is read as a number, not as a text; write it in quotes"),
        .line6("env: {D: 2026-01-01}", "the value of D is read as a date, not as a text; write it in quotes"),
        .line6("env: {E: }", "E has no value; write \"\" for an empty one, or remove it"),
        .line6("env: {E: ~}", "E has no value; write \"\" for an empty one, or remove it"),
        .line6("env: {L: [hunter2]}", "the value of L must be a text; write it in quotes"),
        .line6("env: [A=hunter2]", "env takes a mapping, not a list; write it as name: value lines"),
        .line6("env: {A=hunter2: x}", "this is no variable's name; \(nameRule)"),
        .line6("env: {PATH: x}", "the name PATH is reserved for the platform; choose another name"),
        .line6("env: {LD_PRELOAD: x}", "the name LD_PRELOAD is reserved for the platform; choose another name"),
        .line6("env: {A: \"hunter2\\0\"}", "the value of A holds a control character; encode it, as in base64"),
        .line6("env: {A: \"hunter2\\e\"}", "the value of A holds a control character; encode it, as in base64"),
        .line6(
            "env: {A: \(String(repeating: "é", count: 501))}", "the value of A is longer than 1000 bytes; put it in a file of the source"),
        Answer(
            manifest(["env:"] + (1...101).map { "  V\($0): x" }), "107: env has more than 100 entries; remove some"),
    ]

    static let secrets: [Answer] = [
        .line6("secrets: {API_KEY: hunter2}", "\(value) API_KEY"),
        .line6("secrets: [{API_KEY: hunter2}]", "\(value) API_KEY"),
        .line6("secrets: [{name: API_KEY, value: hunter2}]", "\(value) API_KEY"),
        .line6("secrets: [API_KEY=hunter2]", "\(value) API_KEY"),
        .line6("secrets: [\"API_KEY: hunter2\"]", "\(value) API_KEY"),
        .line6("secrets: [aHVudGVyMg==]", "\(value) NAME"),
        .line6("secrets: hunter2", "secrets takes a list, not a single value; write it as [API_KEY]"),
        .line6("secrets: [hunter 2]", "this is no secret's name; \(nameRule)"),
        .line6("secrets: [1234]", "a secret's name is read as a number, not as a text; write it in quotes"),
        .line6("secrets: [LD_X]", "the name LD_X is reserved for the platform; choose another name"),
        .line6("secrets: [[A]]", "a secret must be a name; write it as API_KEY"),
        .line6("secrets: [A, B, A]", "the secret A is given again, first on line 6; keep one of them"),
        .line6(
            "secrets: [{name: DB, from: hunter2}]",
            "secret.from names no secret elsewhere; write it as \"aws-sm://prod/db\", \"file://plant/db\" or \"credential://db\""),
        .line6(
            "secrets: [{name: DB, from: \"vault://hunter2\"}]",
            "secret.from names no secret elsewhere; write it as \"aws-sm://prod/db\", \"file://plant/db\" or \"credential://db\""),
        .line6(
            "secrets: [{name: DB, from: \"file://../hunter2\"}]",
            "secret.from names no secret elsewhere; write it as \"aws-sm://prod/db\", \"file://plant/db\" or \"credential://db\""),
        .line6("secrets: [{name: DB, form: x}]", "unknown key \"form\"; did you mean \"from\"?"),
        .line6(
            "secrets: [{from: \"aws-sm://prod/db\"}]", "this secret has no name; add name: API_KEY"),
        .line6(
            "secrets: [{name: T, deliver: inject, host: api.example.com, header: Authorization, format: \"Bearer {}\"}]",
            "T goes to api.example.com:443, which egress does not list; add \"api.example.com:443\" to egress"),
        .line6(
            "secrets: [{name: T, deliver: injct, host: a b, header: a b, format: hunter2}]",
            "secret.deliver is not \"inject\"; write it as inject, or remove the line",
            "secret.host is no host name; write it as api.example.com",
            "secret.header is no header field's name; write it as Authorization",
            "secret.format does not hold {} once; write it as \"Bearer {}\""),
        .line6("secrets: [{name: T, host: a.b, header: X}]", "this secret has no deliver; add deliver: inject"),
        Answer(manifest("env: {A: x}", "secrets: [B, A]"), "7: A is a secret and also under env, on line 6; keep one of them"),
        Answer(manifest(["secrets:"] + (1...101).map { "- S\($0)" }), "107: secrets has more than 100 entries; remove some"),
    ]

    @Test("name the namespace and function in the command that takes the value")
    func command() {
        let answer = diagnostics("namespace: plant\n" + manifest("secrets: {DB: hunter2}"))
        #expect(answer.first?.hasSuffix("casemate secret set plant/hello DB") == true)
    }

    /// Each line holds hunter2 where a person would put a value, and is wrong.
    @Test(
        "are in no answer",
        arguments: environment.map(\.text) + secrets.map(\.text) + [
            manifest("env: {A: \"hunter2"), manifest("env:", "  A: hunter2", " B: x"), manifest("env:", "  A: a: hunter2"),
            manifest("env:", "  A: @hunter2"), manifest("env: {A: *hunter2}"), manifest("env: {A: &hunter2 x}"),
            manifest("env: {A: !hunter2 x}"),
            manifest("env: {A: x, A: hunter2}"), manifest("env:", "\tA: hunter2"), manifest("secrets:", "  A: hunter2", "  A: hunter2"),
            manifest("env:", "  A: |", "   hunter2", "  hunter2", "  B"), manifest("env: hunter2"),
            manifest("secrets: [{name: [hunter2]}]"),
            manifest("secrets: [{name: A, format: [hunter2]}]"), manifest("secrets: [{name: A, from: 1, value: hunter2}]"),
        ])
    func silence(text: String) {
        let answer = diagnostics(text)
        #expect(!answer.isEmpty)
        #expect(!answer.joined().contains("hunter2"))
    }
}
