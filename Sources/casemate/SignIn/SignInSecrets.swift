import CasemateIdentity
import CasemateModel
import Crypto

/// What ties a provider's answer to this one sign-in: nobody else can begin or end it.
struct SignInSecrets: Sendable {
    /// Comes back with the browser (RFC 6749 §10.12).
    let state = Self.random()
    /// Of which, with the server's URL, the nonce is made.
    let seed = Self.random()
    /// The server that the sign-in is for.
    let server: String
    /// Shown with the code (RFC 7636 §4.1), of which the provider has only the hash.
    let verifier = Self.random()

    /// Comes back in the ID token (OpenID Connect Core 1.0 §15.5.2), which is good at that server alone.
    var nonce: String { SignInNonce.make(server: server, seed: seed) }

    var challenge: String { Base64URL.encode(Array(SHA256.hash(data: Array(verifier.utf8)))) }

    init(server: String) { self.server = server }

    /// 256 bits in base64url.
    private static func random() -> String {
        var generator = SystemRandomNumberGenerator()
        return Base64URL.encode((0..<32).map { _ in generator.next() as UInt8 })
    }
}
