import Testing

@testable import CasemateIdentity

@Suite("Credentials as they are presented")
struct CredentialTests {
    @Test("1 to 512 visible ASCII characters can be one", arguments: ["x", "cmt_abc-DEF_123", "!~", String(repeating: "x", count: 512)])
    func taken(text: String) { #expect(Credential(text)?.utf8 == Array(text.utf8)) }

    @Test(
        "nothing else can",
        arguments: ["", String(repeating: "x", count: 513), "a b", " a", "a ", "a\n", "a\t", "a\0", "\u{7f}", "ä", "\u{200b}a", "\u{ff41}"])
    func refused(text: String) { #expect(Credential(text) == nil) }

    @Test("its hash is SHA-256")
    func hash() throws {
        let hash = try #require(Credential("abc")).hash
        #expect(
            hash.bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(try #require(Credential("abd")).hash != hash)
    }

    @Test("a hash leads to its bytes and back, and differs in each of them")
    func hashBytes() throws {
        let bytes = (0..<32).map { UInt8($0 * 5) }
        let hash = try #require(CredentialHash(bytes: bytes))
        #expect(hash.bytes == bytes)
        for index in bytes.indices {
            var other = bytes
            other[index] ^= 0x40
            #expect(try #require(CredentialHash(bytes: other)) != hash)
        }
        #expect(CredentialHash(bytes: Array(bytes.dropLast())) == nil)
        #expect(CredentialHash(bytes: bytes + [0]) == nil)
    }

    @Test("it shows its value nowhere")
    func silent() throws {
        let credential = try #require(Credential("cmt_verysecret"))
        var dumped = ""
        dump(credential, to: &dumped)
        dump([credential], to: &dumped)
        for text in [
            "\(credential)", String(describing: credential), String(reflecting: credential), "\([credential])", dumped,
            String(reflecting: Optional(credential)),
        ] {
            #expect(!text.contains("verysecret"), "\(text)")
        }
        #expect(Mirror(reflecting: credential).children.isEmpty)
    }
}
