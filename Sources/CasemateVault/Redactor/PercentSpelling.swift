/// Percent-encoding. Source: RFC 3986 §2.1; WHATWG URL, application/x-www-form-urlencoded.
struct PercentSpelling {
    /// What writers leave as it is, besides letters, digits, `-`, `_` and `.`.
    private static let writers = [
        "",  // PHP urlencode
        "~",  // RFC 3986, Python quote(safe=""), Go, PHP rawurlencode
        "~/",  // Python quote
        "*",  // URLSearchParams, Java
        "~!*'()",  // encodeURIComponent
        "~!*'();,/?:@&=+$#",  // encodeURI
    ]

    private var hex: HexDigits
    private var spaceIsPlus = false
    /// For each byte, whether it stays as it is.
    private var keeps: [Bool]

    /// The spellings that differ from `value` itself: with every byte escaped, and as each writer does it.
    static func all(of value: [UInt8]) -> [[UInt8]] {
        let hexes = value.contains { $0 & 15 > 9 || $0 >> 4 > 9 } ? [HexDigits.upper, .lower] : [.upper]
        let keepsNothing = Array(repeating: false, count: 256)
        var spellings = hexes.map { PercentSpelling(hex: $0, keeps: keepsNothing).spell(value) }
        if value.allSatisfy(isAlwaysKept) { return spellings }

        var present = keepsNothing
        for byte in value { present[Int(byte)] = true }
        let spaces = present[Int(UInt8(ascii: " "))] ? [false, true] : [false]
        var told: [[UInt8]] = []
        for writer in writers {
            // Writers who treat this value's characters alike spell it alike.
            let kept = writer.utf8.filter { present[Int($0)] }
            if told.contains(kept) { continue }
            told.append(kept)
            let keeps = (UInt8.min ... .max).map { isAlwaysKept($0) || kept.contains($0) }
            for spaceIsPlus in spaces {
                for hex in hexes {
                    spellings.append(PercentSpelling(hex: hex, spaceIsPlus: spaceIsPlus, keeps: keeps).spell(value))
                }
            }
        }
        return spellings
    }

    private static func isAlwaysKept(_ byte: UInt8) -> Bool {
        isWordByte(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
    }

    private func spell(_ value: [UInt8]) -> [UInt8] {
        let digits = hex.digits
        return Array(unsafeUninitializedCapacity: 3 * value.count) { out, count in
            for byte in value {
                if keeps[Int(byte)] {
                    out.initializeElement(at: count, to: byte)
                    count += 1
                } else if spaceIsPlus && byte == UInt8(ascii: " ") {
                    out.initializeElement(at: count, to: UInt8(ascii: "+"))
                    count += 1
                } else {
                    out.initializeElement(at: count, to: UInt8(ascii: "%"))
                    out.initializeElement(at: count + 1, to: digits[Int(byte >> 4)])
                    out.initializeElement(at: count + 2, to: digits[Int(byte & 15)])
                    count += 3
                }
            }
        }
    }
}
