import Testing

@testable import CasemateIdentity

@Suite("New function tokens")
struct FreshTokenTests {
    @Test("a token is cmt_ and 43 characters of base64url, over 256 bits")
    func format() throws {
        let token = FreshToken()
        #expect(token.text.hasPrefix("cmt_"))
        let random = token.text.dropFirst(4)
        #expect(random.utf8.count == 43)
        #expect(random.utf8.allSatisfy { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8.contains($0) })
        #expect(token.prefix == token.text.prefix(10))
        #expect(try #require(Credential(token.text)).hash == token.hash)
    }

    @Test("no two tokens are alike, and every character is used in every place")
    func unique() {
        let tokens = (0..<3000).map { _ in FreshToken().text }
        #expect(Set(tokens).count == tokens.count)
        for place in 4..<47 { #expect(Set(tokens.map { Array($0.utf8)[place] }).count == 64, "\(place)") }
    }
}
