/// Base64 and base64url of a value within a longer text. Source: RFC 4648 §4, §5.
struct Base64Spelling {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let urlAlphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    /// The characters that the value alone decides. The one before them and the one behind hold up to four bits of the value.
    private(set) var inner: [UInt8]
    /// Where the text ends with the value and its last character holds nothing else: `inner` with that character, without and with
    /// padding. Empty where `inner` ends with a whole byte.
    private(set) var closed: [[UInt8]] = []

    /// How `value` looks when it begins at byte `offset` of a group of three, in each of the two alphabets that spell it differently.
    static func all(of value: [UInt8], at offset: Int) -> [Base64Spelling] {
        let sextets = sextets(of: value, at: offset)
        let padding = (3 - (offset + value.count) % 3) % 3
        return (sextets.contains { $0 >= 62 } ? [alphabet, urlAlphabet] : [alphabet]).map { letters in
            var inner = sextets.map { letters[Int($0)] }
            if padding == 0 { return Base64Spelling(inner: inner) }
            let closed = [inner, inner + Array(repeating: UInt8(ascii: "="), count: padding)]
            inner.removeLast()
            return Base64Spelling(inner: inner, closed: closed)
        }
    }

    /// The sextets that begin within `value`; the last may be filled up with zeros.
    private static func sextets(of value: [UInt8], at offset: Int) -> [UInt8] {
        var sextets: [UInt8] = []
        sextets.reserveCapacity(value.count * 4 / 3 + 1)
        var held: UInt32 = 0
        // The bits of the first byte that end a sextet of the byte before it are dropped.
        var heldBits = [0, -4, -2][offset]
        for byte in value {
            held = held << 8 | UInt32(byte)
            heldBits += 8
            while heldBits >= 6 {
                heldBits -= 6
                sextets.append(UInt8(truncatingIfNeeded: held >> UInt32(heldBits)) & 63)
            }
        }
        if heldBits > 0 { sextets.append(UInt8(truncatingIfNeeded: held << UInt32(6 - heldBits)) & 63) }
        return sextets
    }
}
