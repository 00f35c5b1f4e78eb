import NIOHTTP1
import Testing

@testable import CasemateSandbox

@Suite("Requests at port 80")
struct ForwardedRequestsTests {
    private let api = EgressTarget(name: "api.example.com", port: 80)

    private func fault(_ fields: [(String, String)], _ uri: String = "/a?b", _ method: HTTPMethod = .GET) -> EgressRefusal? {
        let head = HTTPRequestHead(version: .http1_1, method: method, uri: uri, headers: HTTPHeaders(fields))
        return ForwardedRequests.fault(of: head, for: api)?.0
    }

    @Test(
        "for the name that was dialled pass, in any case and with the port",
        arguments: ["api.example.com", "API.example.com", "api.example.com:80"])
    func right(host: String) { #expect(fault([("Host", host)]) == nil) }

    @Test(
        "for another are refused",
        arguments: [
            "example.com", "api.example.com.evil.org", "api.example.com:8080", "", "127.0.0.1", "x@api.example.com",
        ])
    func wrong(host: String) { #expect(fault([("Host", host)]) == .wrongName) }

    @Test("without one Host, for no path, or to become something else are refused")
    func bad() {
        let host = ("Host", "api.example.com")
        #expect(fault([]) == .badRequest)
        #expect(fault([host, host]) == .badRequest)
        #expect(fault([host], "http://other.org/") == .badRequest)
        #expect(fault([host], "api.example.com:443", .CONNECT) == .badRequest)
        #expect(fault([host, ("Upgrade", "h2c")]) == .badRequest)
        #expect(fault([host], "*", .OPTIONS) == nil)
        #expect(fault([host], "/", .TRACE) == .badRequest)
        #expect(fault([("Host", "api.example.\u{212a}om")]) == .badRequest)
        for coding in ["chunked, chunked", "gzip, chunked", "identity", "chunked;a=b", ""] {
            #expect(fault([host, ("Transfer-Encoding", coding)]) == .badRequest, "\(coding)")
        }
        #expect(fault([host, ("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")]) == .badRequest)
        #expect(fault([host, ("Transfer-Encoding", "Chunked")]) == nil)
    }

    @Test("what is sent on has one spelling")
    func rewritten() {
        let fields = HTTPHeaders([("hOST", "API.example.com:80"), ("transfer-encoding", "ChunkeD"), ("X-A", "b")])
        let head = HTTPRequestHead(version: .http1_1, method: .POST, uri: "/", headers: fields)
        let out = ForwardedRequests.rewritten(head, for: api).headers
        #expect(out["host"] == ["api.example.com"] && out["transfer-encoding"] == ["chunked"] && out["x-a"] == ["b"])
    }

    @Test("a target with the right host is written as a path, another stays and is refused")
    func absolute() {
        #expect(ForwardedRequests.path(of: "http://API.example.com/a", at: api) == "/a")
        #expect(ForwardedRequests.path(of: "http://api.example.com:80/a", at: api) == "/a")
        for other in [
            "http://api.example.com.evil.org/a", "http://api.example.com", "http://api.example.com:8080/a", "https://api.example.com/",
        ] {
            #expect(ForwardedRequests.path(of: other, at: api) == other)
        }
    }
}
