import Testing

import CasemateModel

@Suite("Hosts that a sandbox may reach")
struct AllowedHostTests {
    @Test(
        "a host name is taken, in lower case",
        arguments: [
            ("index.example.org", "index.example.org"), ("Index.Example.org", "index.example.org"), ("localhost", "localhost"),
            ("a-b.c_d.3x", "a-b.c_d.3x"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            (String(repeating: "a", count: 63) + ".b", String(repeating: "a", count: 63) + ".b"),
        ])
    func taken(name: String, kept: String) {
        let host = AllowedHost(name: name, port: 443)
        #expect(host?.name == kept)
        #expect(host?.port == 443)
    }

    @Test(
        "an address and what is no host name are refused",
        arguments: [
            "", ".", "index.example.org.", ".index.example.org", "a..b", "-a.org", "a-.org", "*.org", "a b.org", "a/b", "a:443", "[::1]",
            "::1", "127.0.0.1",
            "10.0.0.1", "1", "0x7f.1", "example.123", "a@b.org", "bücher.example", "a\0.org", "a\n.org",
            String(repeating: "a", count: 64) + ".org",
            String(repeating: "a.", count: 127) + "org",
        ])
    func refused(name: String) { #expect(AllowedHost(name: name, port: 443) == nil) }

    @Test(
        "a letter that only looks like one of a host name's is refused",
        arguments: ["\u{212a}ubernetes.io", "\u{ff50}ypi.org", "p\u{443}pi.org"])
    func lookalike(name: String) { #expect(AllowedHost(name: name, port: 443) == nil) }

    @Test(
        "IPv4 addresses and ranges are taken from a text, in one spelling, and allow no name",
        arguments: ["10.0.0.1:443", "10.1.0.0/16:5432"])
    func addresses(text: String) throws {
        let host = try #require(AllowedHost(text))
        #expect(host.description == text && host.range != nil && !host.isWild)
        #expect(!host.allows(host.name) && !host.allows("10.0.0.1"))
        #expect(AllowedHost("10.0.0.1/32:443")?.description == "10.0.0.1:443")
    }

    @Test("a range allows its addresses at its port")
    func inRange() throws {
        let host = try #require(AllowedHost("10.1.0.0/16:5432"))
        #expect(host.allows("10.1.0.0", 5432) && host.allows("10.1.255.255", 5432))
        #expect(!host.allows("10.2.0.0", 5432) && !host.allows("10.1.0.0", 5433) && !host.allows("a.org", 5432))
    }

    @Test(
        "what is no host of the world's is no address to list",
        arguments: [
            "0.0.0.0/0:1", "0.1.2.3:1", "127.0.0.1:1", "127.0.0.0/8:1", "224.0.0.1:1", "240.0.0.0/8:1", "10.0.0.0/7:1", "10.0.0.1/8:1",
            "10.0.0.0/33:1",
            "10.0.0.0/:1", "/8:1", "10.0.0.1:0", "::1:1",
        ])
    func noAddress(text: String) { #expect(AllowedHost(text) == nil) }

    @Test("name and port make the host")
    func equality() {
        #expect(AllowedHost(name: "A.org", port: 443) == AllowedHost(name: "a.org", port: 443))
        #expect(AllowedHost(name: "a.org", port: 443) != AllowedHost(name: "a.org", port: 444))
        #expect(AllowedHost(name: "a.org", port: 443) != AllowedHost(name: "b.a.org", port: 443))
    }

    @Test("a wild name is one more, in its text too", arguments: ["api.example.com:443", "*.example.com:8443"])
    func text(text: String) throws {
        let host = try #require(AllowedHost(text))
        #expect(host.description == text)
        #expect(host.isWild == text.hasPrefix("*"))
    }

    @Test(
        "text that is not a name and a port is refused",
        arguments: ["a.org", "a.org:", "a.org:0", "a.org:65536", "a.org:012", "a.org:4:4", "**.org:1", "*.:1", "*:1", "0x7f:1", "a.0x7f:1"])
    func noHost(text: String) { #expect(AllowedHost(text) == nil) }
}
