import CasemateAWS
import CasemateLinux
import Crypto
import Foundation

/// A key that revisions are signed with, wherever it is kept.
public protocol RevisionKey: Sendable {
    var verifying: VerifyingKey { get }

    /// - Throws: `KeyProviderError` where the key can't be had.
    func sign(_ message: [UInt8]) async throws -> [UInt8]
}

/// What signatures are checked with.
public enum VerifyingKey: Sendable {
    case ed25519(Curve25519.Signing.PublicKey)
    /// ECDSA with SHA-256; its signatures are in DER.
    case p256(P256.Signing.PublicKey)

    /// - Parameter pem: SubjectPublicKeyInfo.
    /// - Returns: nil for what is neither an Ed25519 nor a P-256 key.
    public init?(pem: String) {
        if let key = try? P256.Signing.PublicKey(pemRepresentation: pem) {
            self = .p256(key)
            return
        }
        let lines = pem.split(whereSeparator: \.isNewline).filter { !$0.hasPrefix("-----") }
        guard let der = Data(base64Encoded: lines.joined()), Array(der.prefix(Self.ed25519Prefix.count)) == Self.ed25519Prefix,
            let key = try? Curve25519.Signing.PublicKey(rawRepresentation: der.dropFirst(Self.ed25519Prefix.count))
        else { return nil }
        self = .ed25519(key)
    }

    private static let ed25519Prefix: [UInt8] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00]

    public var algorithm: String {
        switch self {
        case .ed25519: "ed25519"
        case .p256: "ecdsa-p256-sha256"
        }
    }

    /// SHA-256 of the public key, in hexadecimal: what the key is told by.
    public var id: String {
        switch self {
        case .ed25519(let key): HexDigest.text(SHA256.hash(data: key.rawRepresentation))
        case .p256(let key): HexDigest.text(SHA256.hash(data: key.x963Representation))
        }
    }

    /// SubjectPublicKeyInfo (RFC 5280 §4.1.2.7; RFC 8410 for Ed25519), PEM.
    public var pem: String {
        switch self {
        case .ed25519(let key):
            let der = Self.ed25519Prefix + Array(key.rawRepresentation)
            return "-----BEGIN PUBLIC KEY-----\n\(Data(der).base64EncodedString())\n-----END PUBLIC KEY-----\n"
        case .p256(let key): return key.pemRepresentation + "\n"
        }
    }

    public func isValid(_ signature: [UInt8], over message: [UInt8]) -> Bool {
        switch self {
        case .ed25519(let key): key.isValidSignature(signature, for: message)
        case .p256(let key):
            (try? P256.Signing.ECDSASignature(derRepresentation: signature)).map { key.isValidSignature($0, for: message) } ?? false
        }
    }
}

/// The server's own Ed25519 key, in a file.
public struct FileRevisionKey: RevisionKey {
    private let key: Curve25519.Signing.PrivateKey

    /// Reads the key, or makes one when `mayCreate` and there is none.
    public init(path: String, mayCreate: Bool) throws {
        if !Files.exists(path), mayCreate { try KeyFile.create(path, bytes: Array(Curve25519.Signing.PrivateKey().rawRepresentation)) }
        guard let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: try KeyFile.read(path)) else {
            throw KeyFileError.wrongSize(path)
        }
        self.key = key
    }

    public var verifying: VerifyingKey { .ed25519(key.publicKey) }

    public func sign(_ message: [UInt8]) async throws -> [UInt8] { Array(try key.signature(for: message)) }
}

/// A P-256 key of AWS KMS, which never leaves it; each signature stands in CloudTrail.
///
/// Not Ed25519, which KMS has, too: it takes messages of 4 KiB at most, and provenance is longer.
public struct KMSRevisionKey: RevisionKey {
    public let verifying: VerifyingKey
    private let kms: KMS
    private let address: KMSAddress

    /// - Parameter known: a file with its public half: what was signed runs also while KMS can't be had.
    /// - Throws: `KeyProviderError` where KMS can't be had and never could, or the key is none for `ECDSA_SHA_256`.
    public init(_ address: KMSAddress, credentials: CredentialSource, known: String) async throws {
        self.address = address
        kms = try KMS(region: address.region, endpoint: address.endpoint, credentials: credentials)
        verifying = .p256(try await Self.publicKey(of: address, kms, known: known))
    }

    private static func publicKey(of address: KMSAddress, _ kms: KMS, known: String) async throws -> P256.Signing.PublicKey {
        let name = "\(address.region)/\(address.keyId)\n"
        do {
            let key = try await kms.publicKey(address.keyId)
            guard key.algorithms.contains(algorithm), let parsed = try? P256.Signing.PublicKey(derRepresentation: key.der) else {
                throw KeyProviderError.wrongKey
            }
            try Files.write(name + VerifyingKey.p256(parsed).pem, to: known)
            return parsed
        } catch KeyProviderError.wrongKey {
            throw KeyProviderError.unavailable("the KMS key \(address.region)/\(address.keyId) is none for signing with \(algorithm)")
        } catch {
            guard let text = (try? Files.read(known, limit: 8192)).map({ String(decoding: $0, as: UTF8.self) }), text.hasPrefix(name),
                case .p256(let key)? = VerifyingKey(pem: String(text.dropFirst(name.count)))
            else { throw failure(error) }
            return key
        }
    }

    private static let algorithm = "ECDSA_SHA_256"

    public func sign(_ message: [UInt8]) async throws -> [UInt8] {
        do {
            // What is longer it takes as a digest alone.
            let isLong = message.count > 4096
            let signature = try await kms.sign(
                keyId: address.keyId, message: isLong ? Array(SHA256.hash(data: message)) : message, isDigest: isLong,
                algorithm: Self.algorithm)
            // What is stored must be good, whoever stands in for KMS.
            guard verifying.isValid(signature, over: message) else {
                throw KeyProviderError.unavailable("AWS KMS signed with another key than \(address.region)/\(address.keyId)")
            }
            return signature
        } catch { throw Self.failure(error) }
    }

    private static func failure(_ error: any Error) -> KeyProviderError {
        switch error {
        case let error as KeyProviderError: error
        case AWSError.refused(let code, _):
            .unavailable("AWS KMS refused: \(code); does the server's credential have Sign and GetPublicKey on the key?")
        default: .unavailable("AWS KMS: \(error)")
        }
    }
}
