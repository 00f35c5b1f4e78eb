/// Classes of ASCII characters.
enum Characters {
    static func isSmallLetter(_ byte: UInt8) -> Bool { (97...122).contains(byte) }

    static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }

    static func isLetterOrDigit(_ byte: UInt8) -> Bool { isSmallLetter(byte | 0x20) && byte >= 65 || isDigit(byte) }

    /// RFC 3986 §2.3: what no one percent-encodes, and so what every signer spells the same.
    static func isUnreserved(_ byte: UInt8) -> Bool { isLetterOrDigit(byte) || "-._~".utf8.contains(byte) }

    static func isVisible(_ byte: UInt8) -> Bool { (33...126).contains(byte) }
}

extension StringProtocol {
    /// Whether it has 1 to `most` bytes, each a letter, a digit or one of `others`.
    func isMade(of others: String, atMost most: Int) -> Bool {
        (1...most).contains(utf8.count) && utf8.allSatisfy { Characters.isLetterOrDigit($0) || others.utf8.contains($0) }
    }
}
