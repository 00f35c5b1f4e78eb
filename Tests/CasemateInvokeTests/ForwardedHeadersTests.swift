import CasemateModel
import NIOHTTP1
import Testing

@testable import CasemateInvoke

@Suite("Header fields that a function gets")
struct ForwardedHeadersTests {
    private func rebuilt(_ fields: [(String, String)], remote: String = "203.0.113.9", isTLS: Bool = false, trusted: [String] = [])
        -> HTTPHeaders
    {
        ForwardedHeaders(remote: remote, isTLS: isTLS, trusted: trusted.compactMap { AddressRange($0) }, call: InvokeFixture.call)
            .rebuilt(HTTPHeaders(fields))
    }

    @Test("the caller's own fields pass, several of one name too")
    func passes() {
        let out = rebuilt([("Content-Type", "text/plain"), ("X-Mine", "1"), ("x-mine", "2"), ("Cookie", "a=b"), ("Host", "f.example")])
        #expect(out["content-type"] == ["text/plain"])
        #expect(out["x-mine"] == ["1", "2"])
        #expect(out["cookie"] == ["a=b"])
        #expect(out["host"] == ["f.example"])
    }

    @Test(
        "credentials, hop-by-hop fields and forged fields of the platform's do not",
        arguments: [
            "Authorization", "X-Auth-Token", "SCW-Functions-Token", "X-Functions-Key", "Proxy-Authorization", "Proxy-Connection",
            "Connection",
            "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Forwarded", "X-Real-IP", "X-Envoy-External-Address",
            "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Anything", "X-Request-Id", "Casemate-Call-Id",
            "X-Casemate-Role",
        ])
    func dropped(name: String) {
        for spelling in [name, name.lowercased(), name.uppercased()] {
            #expect(!rebuilt([(spelling, "forged")]).contains { $0.value.contains("forged") }, "\(spelling)")
        }
    }

    @Test("forwarding fields say what is true of this connection")
    func forwarding() {
        let plain = rebuilt([("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-Proto", "https")])
        #expect(plain["x-forwarded-for"] == ["203.0.113.9"])
        #expect(plain["x-forwarded-proto"] == ["http"])
        #expect(plain["x-forwarded-host"].isEmpty)
        #expect(plain["x-request-id"] == [InvokeFixture.call.text])
        #expect(rebuilt([], isTLS: true)["x-forwarded-proto"] == ["https"])
    }

    @Test("a trusted proxy is believed, and goes to the end of the chain")
    func trusted() {
        let fields = [
            ("X-Forwarded-For", "198.51.100.7"), ("x-forwarded-for", "198.51.100.8"), ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "fn.example"),
        ]
        let out = rebuilt(fields, remote: "10.1.2.3", trusted: ["10.0.0.0/8"])
        #expect(out["x-forwarded-for"] == ["198.51.100.7, 198.51.100.8, 10.1.2.3"])
        #expect(out["x-forwarded-proto"] == ["https"])
        #expect(out["x-forwarded-host"] == ["fn.example"])
        #expect(rebuilt([], remote: "10.1.2.3", trusted: ["10.0.0.0/8"])["x-forwarded-for"] == ["10.1.2.3"])
    }

    @Test("another address is not believed")
    func untrusted() {
        let out = rebuilt(
            [("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-Host", "h")], remote: "11.0.0.1", trusted: ["10.0.0.0/8", "fd00::/8"])
        #expect(out["x-forwarded-for"] == ["11.0.0.1"])
        #expect(out["x-forwarded-host"].isEmpty)
    }
}
