import CasemateLinux
import CasemateModel
import Crypto
import Glibc

/// The server's Ed25519 key, and the bytes of a revision that it signs.
public struct RevisionSigner: Sendable {
    private let key: Curve25519.Signing.PrivateKey

    /// Reads the key, or makes one when `mayCreate` and there is none.
    public init(path: String, mayCreate: Bool) throws {
        if !Files.exists(path), mayCreate { try KeyFile.create(path, bytes: Array(Curve25519.Signing.PrivateKey().rawRepresentation)) }
        guard let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: try KeyFile.read(path)) else {
            throw KeyFileError.wrongSize(path)
        }
        self.key = key
    }

    /// SHA-256 of the public key, in hexadecimal: what the key is told by.
    public var keyId: String {
        SHA256.hash(data: key.publicKey.rawRepresentation).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    public func sign(function: FunctionId, number: Int, bundleDigest: String, spec: [UInt8]) throws -> [UInt8] {
        Array(try key.signature(for: Self.payload(function, number, bundleDigest, spec)))
    }

    /// Whether `revision` is exactly what this server signed.
    public func isValid(_ revision: Revision) -> Bool {
        key.publicKey.isValidSignature(
            revision.signature, for: Self.payload(revision.functionId, revision.number, revision.bundleDigest, revision.specBytes))
    }

    /// Each part has a fixed length or comes last, so that no two revisions share a payload.
    private static func payload(_ function: FunctionId, _ number: Int, _ digest: String, _ spec: [UInt8]) -> [UInt8] {
        let specDigest = SHA256.hash(data: spec).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        return Array("casemate/revision/1\n\(function)\n\(digest)\n\(specDigest)\n\(number)".utf8)
    }
}
