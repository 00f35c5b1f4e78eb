import CasemateModel
import Crypto
import Foundation

/// A signed statement on how far the log had come: kept in a second place, it shows that nothing up to there was changed since.
public struct AuditCheckpoint: Codable, Sendable, Equatable {
    /// The id in the log's first record.
    public var chain: String
    public var sequence: UInt64
    /// Of that record.
    public var hash: String
    /// RFC 3339, UTC.
    public var time: String
    /// Ed25519 (RFC 8032), 32 bytes in base64url.
    public var publicKey: String
    /// Over `payload`, 64 bytes in base64url.
    public var signature: String

    public init(
        chain: String, sequence: UInt64, hash: String, time: Timestamp, publicKey: [UInt8], sign: ([UInt8]) throws -> [UInt8]
    ) rethrows {
        self.chain = chain
        self.sequence = sequence
        self.hash = hash
        self.time = time.rfc3339
        self.publicKey = Base64URL.encode(publicKey)
        signature = ""
        signature = Base64URL.encode(try sign(payload))
    }

    /// No part can hold a line end, so that no two checkpoints share a payload.
    private var payload: [UInt8] { Array("casemate/audit-checkpoint/1\n\(chain)\n\(sequence)\n\(hash)\n\(time)".utf8) }

    /// Whether it was signed with the key that it names. Whose key that is shows the fingerprint.
    public var isSigned: Bool {
        guard !(chain + hash + time).utf8.contains(10), let key = Base64URL.decode(Array(publicKey.utf8)),
            let signature = Base64URL.decode(Array(signature.utf8)),
            let verifier = try? Curve25519.Signing.PublicKey(rawRepresentation: key)
        else { return false }
        return verifier.isValidSignature(signature, for: payload)
    }

    /// SHA-256 of the public key in hexadecimal: what auditors compare.
    public var fingerprint: String { Self.fingerprint(of: Base64URL.decode(Array(publicKey.utf8)) ?? []) }

    public static func fingerprint(of publicKey: [UInt8]) -> String { AuditChain.hex(SHA256.hash(data: publicKey)) }

    /// One line of JSON, without its end.
    public var line: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array((try? encoder.encode(self)) ?? Data())
    }

    /// From one line; nil for what is no checkpoint.
    public init?(line: some Collection<UInt8>) {
        guard line.count <= 4096, let checkpoint = try? JSONDecoder().decode(AuditCheckpoint.self, from: Data(line)) else { return nil }
        self = checkpoint
    }
}
