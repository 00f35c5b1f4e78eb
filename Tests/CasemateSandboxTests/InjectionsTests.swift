import CasemateModel
import CasemateVault
import NIOHTTP1
import Testing

@testable import CasemateSandbox

@Suite("Secrets that are put into requests")
struct InjectionsTests {
    private let api = EgressTarget(name: "api.example.com", port: 443)

    private func injection(_ value: String, _ header: String = "Authorization", _ format: String? = "Bearer {}") throws -> Injection {
        let place = InjectedSecret(
            name: VariableName("API_KEY")!, host: AllowedHost("api.example.com:443")!, header: header, format: format)
        let secret = Secret(Array(value.utf8))
        let redactor = Redactor([.secret(name: "API_KEY", value: Array(value.utf8))])
        return try #require(try Injections([(place, secret)], redactor: redactor).injection(at: api))
    }

    private func head(_ fields: [(String, String)]) -> HTTPRequestHead {
        HTTPRequestHead(version: .http1_1, method: .GET, uri: "/", headers: HTTPHeaders(fields))
    }

    @Test("replace all that stood under that name, and leave the rest")
    func replaced() throws {
        let asked = head([
            ("AUTHORIZATION", "a"), ("X-Other", "kept"), ("authorization", "b"), ("Accept-Encoding", "br"), ("Range", "bytes=0-1"),
        ])
        let out = try #require(try injection("value").completed(asked)).headers
        #expect(out["authorization"] == ["Bearer value"] && out["x-other"] == ["kept"])
        #expect(out["accept-encoding"] == ["identity"] && out["range"].isEmpty)
        #expect(try injection("value", "X-Key", nil).completed(asked)?.headers["x-key"] == ["value"])
    }

    @Test("a value that no header field can have is not put in", arguments: ["a\r\nX: y", "a\n", "a\0", "\u{7f}", "\u{1b}[0m"])
    func unfit(value: String) throws { #expect(try injection(value).completed(head([])) == nil) }

    @Test("bytes that are no text are not put in")
    func notText() throws {
        let place = InjectedSecret(name: VariableName("K")!, host: AllowedHost("api.example.com:443")!, header: "X", format: nil)
        let injections = try Injections([(place, Secret([0xff, 0xfe, 0x41]))], redactor: Redactor([]))
        #expect(try #require(injections.injection(at: api)).completed(head([])) == nil)
    }

    @Test("belong to one name and one port")
    func elsewhere() throws {
        let place = InjectedSecret(name: VariableName("K")!, host: AllowedHost("api.example.com:443")!, header: "X", format: nil)
        let injections = try Injections([(place, Secret([0x41]))], redactor: Redactor([]))
        for other in ["api.example.com:80", "www.api.example.com:443", "example.com:443"].compactMap({ AllowedHost($0) }) {
            #expect(injections.injection(at: EgressTarget(name: other.name, port: other.port)) == nil, "\(other)")
        }
    }

    @Test("an injection shows no value when it is printed")
    func printed() throws {
        let text = String(reflecting: try injection("hunter2-hunter2"))
        #expect(!text.contains("hunter2"))
    }
}
