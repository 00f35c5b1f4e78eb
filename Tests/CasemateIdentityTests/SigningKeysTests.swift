import CasemateModel
import Testing

@testable import CasemateIdentity

/// The published examples (RFC 7515 appendix A, RFC 8037 appendix A), and what must not pass beside them.
@Suite("Signatures of JSON Web Tokens")
struct SigningKeysTests {
    struct Example: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var algorithm: String
        var key: String
        var signed: String
        var signature: String
    }

    static let examples = [
        Example(
            testDescription: "RFC 7515 A.2", algorithm: "RS256",
            key: """
                {"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}
                """,
            signed:
                "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
            signature:
                "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        ),
        Example(
            testDescription: "RFC 7515 A.3", algorithm: "ES256",
            key: """
                {"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
                """,
            signed:
                "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
            signature: "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"),
        Example(
            testDescription: "RFC 8037 A.4", algorithm: "EdDSA",
            key: #"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            signed: "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            signature: "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"),
    ]

    private func keys(_ list: String...) async throws -> SigningKeys {
        try await SigningKeys(Array(#"{"keys": [\#(list.joined(separator: ","))]}"#.utf8))
    }

    private func verdict(
        _ keys: SigningKeys, _ example: Example, algorithm: String? = nil, signed: String? = nil, signature: [UInt8]? = nil
    )
        throws -> SigningKeys.Verdict
    {
        let own = try #require(Base64URL.decode(example.signature.utf8))
        return keys.verify(
            signature ?? own, signs: Array((signed ?? example.signed).utf8), algorithm: algorithm ?? example.algorithm, keyId: nil)
    }

    @Test("the published examples verify", arguments: examples)
    func published(example: Example) async throws { #expect(try verdict(try await keys(example.key), example) == .valid) }

    @Test("one bit changed anywhere does not", arguments: examples)
    func changed(example: Example) async throws {
        let keys = try await keys(example.key)
        let signature = try #require(Base64URL.decode(example.signature.utf8))
        for place in stride(from: 0, to: signature.count, by: 7) {
            var other = signature
            other[place] ^= 1
            #expect(try verdict(keys, example, signature: other) == .invalid, "\(place)")
        }
        #expect(try verdict(keys, example, signed: example.signed + "A") == .invalid)
        for other in [[], [0], Array(signature.dropLast()), signature + [0], [UInt8](repeating: 0, count: signature.count)] {
            #expect(try verdict(keys, example, signature: other) == .invalid, "\(other.count)")
        }
    }

    @Test(
        "another algorithm than the key's is never tried, least of all one that takes the public key for a secret",
        arguments: examples, ["none", "None", "HS256", "RS512", "ES384", "", "PS256"])
    func otherAlgorithm(example: Example, algorithm: String) async throws {
        #expect(try verdict(try await keys(example.key), example, algorithm: algorithm) != .valid)
    }

    @Test("a key that says what it is for is used for that alone")
    func restricted() async throws {
        let example = Self.examples[1]
        func with(_ more: String) -> String { String(example.key.dropLast(example.key.hasSuffix("}") ? 1 : 2)) + "," + more + "}" }
        #expect(try verdict(try await keys(with(#""use":"sig","alg":"ES256","kid":"one""#)), example) == .valid)
        let signature = try #require(Base64URL.decode(example.signature.utf8))
        for more in [#""use":"enc""#, #""key_ops":["sign"]"#, #""alg":"ES384""#, #""d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI""#] {
            let none = try await keys(with(more))
            #expect(
                none.verify(signature, signs: Array(example.signed.utf8), algorithm: "ES256", keyId: nil) == .unknownKey, "\(more)")
        }
    }

    @Test(
        "what is no key set is refused",
        arguments: ["", "{}", "[]", #"{"keys": 1}"#, #"{"keys": [], "keys": []}"#, #"{"keys": [], "ke\u0079s": []}"#])
    func noKeys(text: String) async { await #expect(throws: TokenFault.self) { try await SigningKeys(Array(text.utf8)) } }

    @Test(
        "a set without a key of use is one, in which nothing is found",
        arguments: [
            "", "1, null, {}", #"{"kty": "oct", "k": "AAAA"}"#, #"{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}"#,
            #"{"kty": "RSA", "n": "AQAB", "e": "AQAB"}"#,
        ])
    func noUse(list: String) async throws {
        #expect(try verdict(try await keys(list), Self.examples[1]) == .unknownKey)
    }

    @Test("a broken key keeps no other from being used")
    func oneBroken() async throws {
        let example = Self.examples[1]
        let broken = #"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#
        #expect(try verdict(try await keys(broken, "1", example.key, #"{"kty":"unknown"}"#), example) == .valid)
    }

    @Test("a token that names its key is held against that one")
    func keyId() async throws {
        let example = Self.examples[1]
        let named = String(example.key.dropLast()) + #","kid":"one"}"#
        let keys = try await keys(named)
        let signature = try #require(Base64URL.decode(example.signature.utf8))
        let signed = Array(example.signed.utf8)
        #expect(keys.verify(signature, signs: signed, algorithm: "ES256", keyId: "one") == .valid)
        #expect(keys.verify(signature, signs: signed, algorithm: "ES256", keyId: nil) == .valid)
        #expect(keys.verify(signature, signs: signed, algorithm: "ES256", keyId: "two") == .unknownKey)
    }
}
