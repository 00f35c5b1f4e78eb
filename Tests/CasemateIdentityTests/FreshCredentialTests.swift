import CasemateModel
import Testing

@testable import CasemateIdentity

@Suite("New credentials")
struct FreshCredentialTests {
    @Test("a token is cmt_ and 43 characters of base64url, over 256 bits")
    func format() throws {
        let token = FreshCredential(.functionToken)
        #expect(token.text.hasPrefix("cmt_"))
        let random = token.text.dropFirst(4)
        #expect(random.utf8.count == 43)
        #expect(random.utf8.allSatisfy { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8.contains($0) })
        #expect(token.prefix == token.text.prefix(10))
        #expect(try #require(Credential(token.text)).hash == token.hash)
    }

    @Test("no two tokens are alike, and every character is used in every place")
    func unique() {
        let tokens = (0..<3000).map { _ in FreshCredential(.functionToken).text }
        #expect(Set(tokens).count == tokens.count)
        for place in 4..<47 { #expect(Set(tokens.map { Array($0.utf8)[place] }).count == 64, "\(place)") }
    }

    @Test("each kind has a prefix of its own, which secret scanners can look for; none tells its value")
    func kinds() {
        #expect(FreshCredential(.clientSecret).text.hasPrefix("cmc_"))
        #expect(FreshCredential(.accessToken).text.hasPrefix("cma_"))
        let key = FreshCredential.apiKey()
        #expect(KeyId(key.text) != nil)
        #expect("\(key)" == "<redacted>" && String(reflecting: key) == "<redacted>")
        #expect(key.prefix.count == 8)
    }
}
