import CasemateModel
import Testing

@testable import CasemateDeploy

@Suite("Entries of an egress list")
struct EgressEntryTests {
    @Test(
        "are taken as DNS compares them",
        arguments: [
            ("api.example.com:443", "api.example.com:443"), ("API.Example.COM:443", "api.example.com:443"),
            ("api.example.com.:443", "api.example.com:443"), ("*.blob.example.net:443", "*.blob.example.net:443"),
            ("db.internal:5432", "db.internal:5432"), ("bücher.example:443", "xn--bcher-kva.example:443"),
            ("xn--bcher-kva.example:443", "xn--bcher-kva.example:443"), ("localhost:80", "localhost:80"),
            ("a_b.example.com:1", "a_b.example.com:1"),
        ])
    func taken(text: String, kept: String) throws { #expect(try EgressEntry.parse(text).description == kept) }

    @Test("letters that look alike are shown as what they are")
    func lookalike() throws { #expect(try EgressEntry.parse("\u{430}pple.com:443").description == "xn--pple-43d.com:443") }

    @Test(
        "addresses in any spelling are refused as such",
        arguments: [
            "127.0.0.1:443", "0.0.0.0/0:443", "[::1]:443", "::1:443", "2130706433:443", "0x7f000001:443", "0x7f.1:443", "017700000001:443",
            "1.1:443", "169.254.169.254.:80", "[::ffff:169.254.169.254]:80", "127\u{3002}0\u{3002}0\u{3002}1:443", "example.0x1f:443",
        ])
    func address(text: String) {
        let fault = #expect(throws: EgressEntry.Fault.self) { try EgressEntry.parse(text) }
        #expect(fault?.what.contains("address") == true, "\(fault?.what ?? "")")
    }

    @Test(
        "wild ones that anybody could register below are refused",
        arguments: ["*.com:443", "*.co.uk:443", "*.github.io:443", "*.azurewebsites.net:443", "*.s3.amazonaws.com:443", "*.internal:443"])
    func publicSuffix(text: String) {
        let fault = #expect(throws: EgressEntry.Fault.self) { try EgressEntry.parse(text) }
        #expect(fault?.what.contains("register") == true, "\(fault?.what ?? "")")
    }

    @Test(
        "what is no name and port is refused",
        arguments: [
            "", ":", "api.example.com", "api.example.com:", ":443", "api.example.com:0", "api.example.com:65536", "api.example.com:0443",
            "api.example.com:+443", "api.example.com:http", "https://api.example.com:443", "api.example.com:443/x", "*:443",
            "**.example.com:443",
            "a.*.example.com:443", "*a.example.com:443", "api..example.com:443", "-a.example.com:443", "a b.example.com:443",
            "user@example.com:443", "\u{fc}@example.com:443", "\u{fc}/example.com:443", "a\0.example.com:443", "a\n.example.com:443",
            "api.casemate.internal:443", "casemate.internal:80", "example.com..:443", "a\u{200d}b.example.com:443",
            String(repeating: "a", count: 64) + ".com:443", String(repeating: "a.", count: 130) + "com:443",
        ])
    func refused(text: String) { #expect(throws: EgressEntry.Fault.self) { try EgressEntry.parse(text) } }
}
