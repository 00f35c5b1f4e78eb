import CasemateModel
import Testing

@Suite("A secret with deliver: inject")
struct ManifestInjectionTests {
    private static let listed = "egress: [\"api.example.com:443\", \"*.example.org:443\"]"

    private func lines(_ secret: String, _ more: String...) -> [String] {
        diagnostics(manifest([Self.listed, "secrets: [\(secret)]"] + more))
    }

    @Test("is kept with its place, and is a secret like others")
    func kept() throws {
        let text = "secrets: [B, {name: A, deliver: inject, host: API.example.com, header: Authorization, format: \"Bearer {}\"}]"
        let found = try spec(Self.listed, text)
        #expect(found.secrets.map(\.text) == ["A", "B"])
        #expect(
            found.injected == [
                InjectedSecret(
                    name: VariableName("A")!, host: AllowedHost("api.example.com:443")!, header: "Authorization", format: "Bearer {}")
            ])
        #expect(!found.isHandedOver(VariableName("A")!) && found.isHandedOver(VariableName("B")!))
        #expect(try spec("secrets: [B]").injected == nil)
    }

    @Test("goes only where egress leads, name for name")
    func unlisted() {
        let fix = "which egress does not list; add"
        #expect(
            lines("{name: A, deliver: inject, host: x.example.org, header: X-Key}") == [
                "7: A goes to x.example.org:443, \(fix) \"x.example.org:443\" to egress"
            ])
        #expect(
            lines("{name: A, deliver: inject, host: \"api.example.com:8443\", header: X-Key}") == [
                "7: A goes to api.example.com:8443, \(fix) \"api.example.com:8443\" to egress"
            ])
    }

    @Test(
        "takes no header that says how a message is sent",
        arguments: ["Host", "content-length", "Transfer-Encoding", "Connection", "Range"])
    func framing(header: String) {
        #expect(
            lines("{name: A, deliver: inject, host: api.example.com, header: \(header)}") == [
                "7: secret.header says how a request is sent, not who sends it; write it as Authorization"
            ])
    }

    @Test("stands alone in its header")
    func twice() {
        #expect(
            lines(
                "{name: A, deliver: inject, host: api.example.com, header: X}, {name: B, deliver: inject, host: api.example.com, header: x}"
            )
                == ["7: B goes into the same header as the secret on line 7; keep one of them"])
    }

    @Test("needs the variables by which clients find whom to trust")
    func variables() {
        #expect(
            lines("{name: A, deliver: inject, host: api.example.com, header: X}", "env: {SSL_CERT_FILE: /x}") == [
                "8: SSL_CERT_FILE is set by the platform where a secret is delivered by inject; remove it, or take the certificates from a "
                    + "file of the source in the code"
            ])
        #expect(diagnostics(manifest(["env: {SSL_CERT_FILE: /x}", "secrets: [A]"])).isEmpty)
    }

    @Test(
        "has one host, in words that hold no value", arguments: ["\"*.example.org\"", "10.0.0.1", "hunter2:", "a b", "\"[::1]\"", "\"*\""])
    func noHost(host: String) {
        #expect(
            lines("{name: A, deliver: inject, host: \(host), header: X}").allSatisfy { !$0.contains("hunter2") && !$0.contains("10.0.0.1") }
        )
        #expect(!lines("{name: A, deliver: inject, host: \(host), header: X}").isEmpty)
    }

    @Test("has a format that a header field can have", arguments: ["\"{}\\n\"", "\"\\u00e9{}\"", "\"{}{}\"", "\"x\""])
    func badFormat(format: String) {
        #expect(lines("{name: A, deliver: inject, host: api.example.com, header: X, format: \(format)}").count == 1)
    }
}
