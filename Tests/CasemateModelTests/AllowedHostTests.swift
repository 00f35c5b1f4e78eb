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
