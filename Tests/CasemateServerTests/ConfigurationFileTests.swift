import CasemateModel
import Testing

@testable import CasemateServer

@Suite("The configuration file")
struct ConfigurationFileTests {
    private func file(_ text: String) throws -> [String: String] { try ServerSettings.file(text, path: "/etc/casemate.yaml") }

    @Test("keys and scalars, as text")
    func flat() throws {
        #expect(
            try file("listen: 127.0.0.1:8080\npool-size: 8 # eight\ndomain: \"x.example\"\n") == [
                "listen": "127.0.0.1:8080", "pool-size": "8", "domain": "x.example",
            ])
        #expect(try file("") == [:])
        #expect(try file("# nothing yet\n\n# set\n") == [:])
    }

    @Test(
        "anything else is refused with the file's name",
        arguments: ["- a\n", "just text", "a: [1]\n", "a:\n  b: c\n", "a: 1\na: 2\n", "a: \"\n", "? [x]\n: y\n"])
    func refused(text: String) {
        let problem = #expect(throws: Problem.self) { try file(text) }
        #expect(problem?.code == .invalidRequest)
        #expect(problem?.detail.contains("/etc/casemate.yaml") == true)
    }
}
