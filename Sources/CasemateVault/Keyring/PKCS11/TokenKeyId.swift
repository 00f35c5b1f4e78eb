/// CKA_ID of a key-encryption key. Ours are 16 bytes: UTC milliseconds, big-endian, then 8 random bytes.
///
/// PKCS#11 has no creation time, so the id carries it: the greatest is the newest. One of another length was made by an operator and
/// counts as older than all of ours.
struct TokenKeyId: Hashable, Comparable, Sendable, CustomStringConvertible {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// From `pkcs11:` and lower-case hexadecimal.
    init?(_ text: String) {
        guard text.hasPrefix(Self.prefix) else { return nil }
        let digits = Array(text.utf8.dropFirst(Self.prefix.utf8.count))
        guard digits.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        for at in stride(from: 0, to: digits.count, by: 2) {
            guard let high = digits[at].hexValue, let low = digits[at + 1].hexValue else { return nil }
            bytes.append(high << 4 | low)
        }
        self.bytes = bytes
        // One spelling for one id.
        guard description == text else { return nil }
    }

    /// A new id, greater than `newest` even when the clock went back since that was made.
    /// - Parameter milliseconds: UTC now, since 1970.
    /// - Returns: nothing when no greater one exists.
    init?(milliseconds: UInt64, after newest: TokenKeyId?) {
        var time = milliseconds
        if let newest, newest.isOurs {
            let last = newest.bytes.prefix(8).reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
            guard last < .max else { return nil }
            time = max(time, last + 1)
        }
        var random = SystemRandomNumberGenerator()
        bytes = [time, random.next()].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * UInt64($0))) } }
    }

    private var isOurs: Bool { bytes.count == 16 }

    static func < (a: TokenKeyId, b: TokenKeyId) -> Bool {
        if a.isOurs != b.isOurs { return b.isOurs }
        return a.bytes.lexicographicallyPrecedes(b.bytes)
    }

    var description: String {
        Self.prefix + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    static let prefix = "pkcs11:"
}

extension UInt8 {
    /// Of an ASCII digit or letter.
    var hexValue: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
