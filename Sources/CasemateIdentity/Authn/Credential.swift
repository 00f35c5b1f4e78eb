import CasemateModel
import Crypto

/// A credential as a caller presents it. Only its hash is ever kept or compared.
public struct Credential: Sendable, CustomStringConvertible, CustomReflectable {
    private let text: String

    /// Nil for what can't be one: empty, over 512 bytes, or not visible ASCII.
    public init?(_ text: String) {
        var text = text
        guard text.withUTF8({ bytes in (1...512).contains(bytes.count) && bytes.allSatisfy { (33...126).contains($0) } }) else {
            return nil
        }
        self.text = text
    }

    public init?(_ text: Substring) { self.init(String(text)) }

    /// SHA-256. Credentials are random and long, so that no slow hash is needed; equality of hashes needs no constant time.
    public var hash: CredentialHash { CredentialHash(SHA256.hash(data: Array(text.utf8))) }

    /// Whether it is one that a function is given for the time of a call.
    public var isSession: Bool { text.hasPrefix(CredentialSeal.sessionPrefix) }

    /// The value, where it is handed over.
    public var revealed: String { text }

    /// The value, where it must be found in a function's output.
    public var utf8: [UInt8] { Array(text.utf8) }

    public var description: String { "<redacted>" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// SHA-256 of a credential: what is stored and looked up.
public struct CredentialHash: Hashable, Sendable {
    let high: (UInt64, UInt64)
    let low: (UInt64, UInt64)

    init(_ digest: SHA256.Digest) { self.init(bytes: Array(digest))! }

    public init?(bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        (high, low) = bytes.withUnsafeBytes { bytes in
            func word(_ index: Int) -> UInt64 { UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)) }
            return ((word(0), word(1)), (word(2), word(3)))
        }
    }

    public var bytes: [UInt8] {
        [high.0, high.1, low.0, low.1].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - $0 * 8)) } }
    }

    public static func == (left: Self, right: Self) -> Bool {
        (left.high.0 ^ right.high.0) | (left.high.1 ^ right.high.1) | (left.low.0 ^ right.low.0) | (left.low.1 ^ right.low.1) == 0
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(high.0) }
}

/// A new credential: shown once, then only its hash is known.
public struct FreshCredential: Sendable, CustomStringConvertible, CustomReflectable {
    /// What it is told by: secret scanners look for a prefix.
    public enum Kind: String, Sendable {
        case functionToken = "cmt_"
        case clientSecret = "cmc_"
        case accessToken = "cma_"
        case nonce = "cmn_"
        case signIn = "cmp_"
    }

    public var description: String { "<redacted>" }
    public var customMirror: Mirror { Mirror(self, children: []) }
    public let text: String
    public let hash: CredentialHash
    public let prefix: String

    /// The kind's prefix and 256 random bits in base64url.
    public init(_ kind: Kind) {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        let random = (0..<43).map { _ in alphabet[Int(generator.next() as UInt8) & 63] }
        self.init(text: kind.rawValue + String(decoding: random, as: UTF8.self), shown: 10)
    }

    /// An API key: a UUIDv4 (122 random bits), because clients of one ecosystem take nothing else.
    public static func apiKey() -> FreshCredential { FreshCredential(text: Id<FreshCredential>().text, shown: 8) }

    private init(text: String, shown: Int) {
        self.text = text
        hash = CredentialHash(SHA256.hash(data: Array(text.utf8)))
        prefix = String(text.prefix(shown))
    }
}
