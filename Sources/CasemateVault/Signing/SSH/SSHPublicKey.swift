import Crypto
import CryptoExtras
import Foundation

/// A public key as OpenSSH writes it: `ssh-ed25519 AAAA…`.
///
/// Source: RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709, and OpenSSH's PROTOCOL.u2f for keys that live on a token.
public struct SSHPublicKey: Hashable, Sendable {
    /// The wire form.
    public let blob: [UInt8]
    /// `type base64`, without a comment.
    public let text: String

    /// - Parameter text: a line of `id_….pub`; what comes after the key is a comment.
    /// - Returns: nil for a kind of key that is not taken, or too weak: DSA, RSA below 2048 bits.
    public init?(_ text: some StringProtocol) {
        let words = text.split(separator: " ", maxSplits: 2)
        guard text.utf8.count <= 16_384, words.count >= 2, let data = Data(base64Encoded: String(words[1])),
            let key = Self(blob: Array(data)), key.text.hasPrefix(words[0] + " ")
        else { return nil }
        self = key
    }

    init?(blob: [UInt8]) {
        var reader = SSHReader(blob)
        guard let type = reader.text(), Key(blob) != nil else { return nil }
        self.blob = blob
        text = "\(type) \(Data(blob).base64EncodedString())"
    }

    /// `SHA256:…`, as `ssh-keygen -l` shows it.
    public var fingerprint: String {
        "SHA256:" + Data(SHA256.hash(data: blob)).base64EncodedString().prefix { $0 != "=" }
    }

    /// - Parameter signature: algorithm and bytes, in the wire form.
    func isValid(_ signature: [UInt8], over message: [UInt8]) -> Bool {
        var reader = SSHReader(signature)
        guard let algorithm = reader.text(), let bytes = reader.string(), let key = Key(blob) else { return false }
        switch key {
        case .token(let inner, let type, let application):
            // What is signed is not the message but what the token says of it.
            guard algorithm == type, let flags = reader.bytes(1), let counter = reader.bytes(4), reader.isAtEnd,
                flags[0] & Self.touched != 0
            else { return false }
            let told = Array(SHA256.hash(data: application)) + flags + counter + Array(SHA256.hash(data: message))
            return inner.isValid(bytes, over: told)
        case .plain(let inner): return reader.isAtEnd && inner.isValid(bytes, algorithm: algorithm, over: message)
        }
    }

    /// Somebody touched the token.
    private static let touched: UInt8 = 1
}

private enum Key {
    case plain(PlainKey)
    case token(PlainKey, type: String, application: [UInt8])

    init?(_ blob: [UInt8]) {
        var reader = SSHReader(blob)
        guard let type = reader.text() else { return nil }
        let isToken = type.hasPrefix("sk-")
        let plain: PlainKey?
        switch type {
        case "ssh-ed25519", "sk-ssh-ed25519@openssh.com":
            plain = reader.string().flatMap { try? .ed25519(Curve25519.Signing.PublicKey(rawRepresentation: $0)) }
        case "ecdsa-sha2-nistp256", "sk-ecdsa-sha2-nistp256@openssh.com":
            plain = Self.point(&reader, "nistp256").flatMap { try? .p256(P256.Signing.PublicKey(x963Representation: $0)) }
        case "ecdsa-sha2-nistp384":
            plain = Self.point(&reader, "nistp384").flatMap { try? .p384(P384.Signing.PublicKey(x963Representation: $0)) }
        case "ecdsa-sha2-nistp521":
            plain = Self.point(&reader, "nistp521").flatMap { try? .p521(P521.Signing.PublicKey(x963Representation: $0)) }
        case "ssh-rsa":
            guard let exponent = reader.positive(), let modulus = reader.positive(), (256...2048).contains(modulus.count),
                modulus.count > 256 || modulus[0] >= 0x80
            else { return nil }
            plain = (try? _RSA.Signing.PublicKey(n: modulus, e: exponent)).map { .rsa($0, bytes: modulus.count) }
        default: return nil
        }
        guard let plain else { return nil }
        guard isToken else {
            guard reader.isAtEnd else { return nil }
            self = .plain(plain)
            return
        }
        guard let application = reader.string(), reader.isAtEnd else { return nil }
        self = .token(plain, type: type, application: application)
    }

    private static func point(_ reader: inout SSHReader, _ curve: String) -> [UInt8]? {
        guard reader.text() == curve else { return nil }
        return reader.string()
    }
}

private enum PlainKey {
    case ed25519(Curve25519.Signing.PublicKey)
    case p256(P256.Signing.PublicKey)
    case p384(P384.Signing.PublicKey)
    case p521(P521.Signing.PublicKey)
    case rsa(_RSA.Signing.PublicKey, bytes: Int)

    func isValid(_ signature: [UInt8], algorithm: String, over message: [UInt8]) -> Bool {
        switch (self, algorithm) {
        case (.ed25519, "ssh-ed25519"), (.p256, "ecdsa-sha2-nistp256"), (.p384, "ecdsa-sha2-nistp384"), (.p521, "ecdsa-sha2-nistp521"):
            return isValid(signature, over: message)
        // SHA-1 (`ssh-rsa`) is not taken: RFC 8332 §5.1.
        case (.rsa(let key, let size), "rsa-sha2-256"):
            return Self.padded(signature, size).map { isValid($0, by: key, of: SHA256.hash(data: message)) } ?? false
        case (.rsa(let key, let size), "rsa-sha2-512"):
            return Self.padded(signature, size).map { isValid($0, by: key, of: SHA512.hash(data: message)) } ?? false
        default: return false
        }
    }

    func isValid(_ signature: [UInt8], over message: [UInt8]) -> Bool {
        switch self {
        case .ed25519(let key): return key.isValidSignature(signature, for: message)
        case .p256(let key):
            let parsed = Self.numbers(signature, 32).flatMap { try? P256.Signing.ECDSASignature(rawRepresentation: $0) }
            return parsed.map { key.isValidSignature($0, for: message) } ?? false
        case .p384(let key):
            let parsed = Self.numbers(signature, 48).flatMap { try? P384.Signing.ECDSASignature(rawRepresentation: $0) }
            return parsed.map { key.isValidSignature($0, for: message) } ?? false
        case .p521(let key):
            let parsed = Self.numbers(signature, 66).flatMap { try? P521.Signing.ECDSASignature(rawRepresentation: $0) }
            return parsed.map { key.isValidSignature($0, for: message) } ?? false
        case .rsa: return false
        }
    }

    private func isValid(_ signature: [UInt8], by key: _RSA.Signing.PublicKey, of digest: some Digest) -> Bool {
        key.isValidSignature(_RSA.Signing.RSASignature(rawRepresentation: signature), for: digest, padding: .insecurePKCS1v1_5)
    }

    /// Some leave leading zeros out.
    private static func padded(_ signature: [UInt8], _ size: Int) -> [UInt8]? {
        signature.count > size || signature.isEmpty ? nil : [UInt8](repeating: 0, count: size - signature.count) + signature
    }

    /// r and s, each of `size` bytes.
    private static func numbers(_ signature: [UInt8], _ size: Int) -> [UInt8]? {
        var reader = SSHReader(signature)
        guard let r = reader.positive(), let s = reader.positive(), reader.isAtEnd, r.count <= size, s.count <= size else { return nil }
        let zeros = [UInt8](repeating: 0, count: size)
        return Array((zeros + r).suffix(size) + (zeros + s).suffix(size))
    }
}
