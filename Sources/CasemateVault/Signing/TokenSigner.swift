import CasemateLinux
import CasemateModel
import Crypto

/// The server's key for tokens of its own (ES256, RFC 7518 §3.4). Another one than revisions are signed with: that one is of Ed25519, which
/// few who would trust our tokens can verify.
public struct TokenSigner: Sendable {
    private let key: P256.Signing.PrivateKey
    /// The JWK thumbprint (RFC 7638): another key has another name.
    public let keyId: String
    /// The public key's coordinates in base64url, as a JWK has them (RFC 7518 §6.2.1).
    public let coordinates: (x: String, y: String)

    /// Reads the key, or makes one where there is none: all that a lost one costs is that the tokens of the last minutes end.
    public init(path: String) throws {
        if !Files.exists(path) { try KeyFile.create(path, bytes: Array(P256.Signing.PrivateKey().rawRepresentation)) }
        guard let key = try? P256.Signing.PrivateKey(rawRepresentation: try KeyFile.read(path)) else {
            throw KeyFileError.wrongSize(path)
        }
        self.init(key)
    }

    /// With a key of its own, which is gone with it.
    public init() { self.init(P256.Signing.PrivateKey()) }

    private init(_ key: P256.Signing.PrivateKey) {
        self.key = key
        let point = Array(key.publicKey.rawRepresentation)
        coordinates = (Base64URL.encode(Array(point[..<32])), Base64URL.encode(Array(point[32...])))
        let canonical = #"{"crv":"P-256","kty":"EC","x":"\#(coordinates.x)","y":"\#(coordinates.y)"}"#
        keyId = Base64URL.encode(Array(SHA256.hash(data: Array(canonical.utf8))))
    }

    /// Both halves, one after the other (RFC 7515 §3.4).
    public func sign(_ bytes: [UInt8]) throws -> [UInt8] { Array(try key.signature(for: bytes).rawRepresentation) }

    public func isValid(_ signature: [UInt8], for bytes: [UInt8]) -> Bool {
        guard let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature) else { return false }
        return key.publicKey.isValidSignature(signature, for: bytes)
    }
}
