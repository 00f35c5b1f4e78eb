import CasemateLinux
import CasemateModel
import CasemateStore
import Crypto

/// The Ed25519 key that audit checkpoints are signed with: in a file of its own, so that whoever rewrites the log has to have that, too.
public struct CheckpointSigner: Sendable {
    private let key: Curve25519.Signing.PrivateKey

    /// Reads the key, or makes one when `mayCreate` and there is none.
    public init(path: String, mayCreate: Bool) throws {
        if !Files.exists(path), mayCreate { try KeyFile.create(path, bytes: Array(Curve25519.Signing.PrivateKey().rawRepresentation)) }
        guard let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: try KeyFile.read(path)) else {
            throw KeyFileError.wrongSize(path)
        }
        self.key = key
    }

    public var publicKey: [UInt8] { Array(key.publicKey.rawRepresentation) }

    /// That the log whose first record names `chain` had come so far.
    public func checkpoint(chain: String, sequence: UInt64, hash: String, at time: Timestamp) throws -> AuditCheckpoint {
        try AuditCheckpoint(chain: chain, sequence: sequence, hash: hash, time: time, publicKey: publicKey) {
            Array(try key.signature(for: $0))
        }
    }
}
