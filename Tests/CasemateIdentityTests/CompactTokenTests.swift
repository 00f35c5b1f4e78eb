import CasemateModel
import Foundation
import Testing

@testable import CasemateIdentity

@Suite("Tokens taken apart")
struct CompactTokenTests {
    private static let sound = #"{"iss":"https://idp.example","sub":"alice","aud":"casemate","exp":1900000000}"#

    private func unpadded(_ text: String) -> String {
        Data(text.utf8).base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
            .replacingOccurrences(of: "=", with: "")
    }

    private func token(header: String = #"{"alg":"ES256"}"#, claims: String = sound, signature: String = "AAAA") -> String {
        "\(unpadded(header)).\(unpadded(claims)).\(signature)"
    }

    @Test("a sound one has what it says")
    func sound() throws {
        let text = token(header: #"{"alg":"ES256","kid":"k","typ":"application/AT+JWT"}"#)
        let token = try CompactToken(text)
        #expect((token.algorithm, token.keyId, token.type) == ("ES256", "k", "at+jwt"))
        #expect((token.claims.issuer, token.claims.subject, token.claims.expires) == ("https://idp.example", "alice", 1_900_000_000))
        #expect(token.claims.audiences == ["casemate"])
        #expect(String(decoding: token.signedPart, as: UTF8.self) + ".AAAA" == text)
        #expect(token.signature == [0, 0, 0])
    }

    @Test(
        "a header that is not quite right is refused",
        arguments: [
            "", "{}", "[]", "1", #"{"alg":1}"#, #"{"alg":null}"#, #"{"alg":["ES256"]}"#, #"{"alg":"ES256","alg":"none"}"#,
            #"{"alg":"ES256","crit":[]}"#, #"{"alg":"ES256","crit":["exp"],"exp":1}"#, #"{"alg":"ES256","b64":false}"#,
            #"{"alg":"ES256","enc":"A128GCM"}"#, #"{"alg":"ES256","zip":"DEF"}"#, #"{"alg":"ES256","kid":1}"#, #"{"alg":"ES256","typ":1}"#,
            #"{"alg":"ES256","kid":"\#(String(repeating: "k", count: 10_000))"}"#, #"{"alg":"ES256"} x"#, "{\"alg\":\"ES256\",}",
            #"{"alg":"ES256","x":\#(String(repeating: "[", count: 30))\#(String(repeating: "]", count: 30))}"#,
            "\u{feff}{\"alg\":\"ES256\"}",
        ])
    func headers(header: String) { #expect(throws: TokenFault.self) { try CompactToken(token(header: header)) } }

    @Test(
        "claims that are not quite right are refused",
        arguments: [
            ("exp", "9000000000000000000"), ("exp", "-1"), ("exp", "1900000000.5"), ("exp", "1.9e9"), ("exp", #""1900000000""#),
            ("exp", "true"), ("exp", "null"), ("exp", "[1900000000]"), ("exp", "99999999999999999999999"), ("nbf", "1.5"), ("nbf", #""1""#),
            ("iat", "-5"), ("iat", "{}"), ("iss", "1"), ("iss", #""""#), ("sub", "null"), ("sub", #""""#), ("sub", #"["alice"]"#),
            ("aud", "1"), ("aud", "[]"), ("aud", "[1]"), ("aud", #"["a", null]"#), ("aud", #"{"a": 1}"#),
        ])
    func claims(name: String, value: String) throws {
        var fields = ["iss": #""https://idp.example""#, "sub": #""alice""#, "aud": #""casemate""#, "exp": "1900000000"]
        fields[name] = value
        let text = "{" + fields.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
        #expect(throws: TokenFault.self) { try CompactToken(token(claims: text)) }
    }

    @Test("a claim that is missing, or stands twice, is refused", arguments: ["iss", "sub", "aud", "exp"])
    func missing(name: String) {
        let gone = Self.sound.replacingOccurrences(of: "\"\(name)\"", with: "\"other\"")
        let twice = Self.sound.dropLast() + ",\"\(name)\":\"x\"}"
        for text in [gone, String(twice)] { #expect(throws: TokenFault.self) { try CompactToken(token(claims: text)) } }
    }

    @Test(
        "what is not three parts of base64url is refused",
        arguments: ["", ".", "..", "a.b", "a.b.c.d", "eyJhbGciOiJFUzI1NiJ9..AAAA", "eyJhbGciOiJFUzI1NiJ9.AAAA.", " a.b.c", "a.b.c\n"])
    func parts(text: String) { #expect(throws: TokenFault.self) { try CompactToken(text) } }

    @Test(
        "padding, other alphabets and bits beyond the end are refused", arguments: ["AA==", "A+/A", "AAA\u{0}", "AB", "A", "AAAAA", "ÄAAA"])
    func base64(signature: String) { #expect(throws: TokenFault.self) { try CompactToken(token(signature: signature)) } }

    @Test("base64url is read as it is written", arguments: ["", "f", "fo", "foo", "foob", "fooba", "foobar", "\u{ff}\u{fe}~~~"])
    func decode(text: String) { #expect(Base64URL.decode(unpadded(text).utf8) == Array(text.utf8)) }

    @Test("one of 16 KiB and a byte is refused")
    func long() {
        #expect(throws: TokenFault.self) { try CompactToken(token(signature: String(repeating: "A", count: 16_384))) }
    }

    @Test("scopes come from any of three claims, as words or as a list")
    func scopes() throws {
        func scopes(_ more: String) throws -> Set<String> {
            try CompactToken(token(claims: String(Self.sound.dropLast()) + "," + more + "}")).claims.scopes
        }
        #expect(try scopes(#""scope":"a b""#) == ["a", "b"])
        #expect(try scopes(#""scp":["a","b c"]"#) == ["a", "b", "c"])
        #expect(try scopes(#""scopes":["a"],"scope":"b""#) == ["a", "b"])
        #expect(try scopes(#""scope":1,"scp":{"a":1},"scopes":[1]"#) == [])
    }

    @Test("what may be a token is told from other credentials")
    func likely() {
        #expect(CompactToken.isLikely(token()))
        for other in ["cmt_" + String(repeating: "a", count: 43), UUID().uuidString, "", "a.b.c", "ey.."] {
            #expect(!CompactToken.isLikely(other))
        }
    }
}
