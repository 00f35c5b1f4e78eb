/// One JSON writer's way to spell a string, without the quotes. Source: RFC 8259 §7.
struct JSONSpelling {
    /// `\u00e9` for é, as Python's `ensure_ascii` does. DEL is escaped too.
    var escapesNonASCII = false
    /// `\/`, as PHP and Foundation do.
    var escapesSlash = false
    /// `\u003c` for `<`, `>` and `&`, and U+2028 and U+2029, as Go does.
    var escapesMarkup = false
    var hex = HexDigits.lower

    /// The spellings of `value`; with nothing to escape in it, none.
    static func all(of value: [UInt8]) -> [[UInt8]] {
        func has(_ isOne: (UInt8) -> Bool) -> Bool { value.contains(where: isOne) }
        let hasControl = has { $0 < 0x20 }
        let hasNonASCII = has { $0 >= 0x7F }
        let hasSlash = has { $0 == UInt8(ascii: "/") }
        let hasMarkup = has { $0 == UInt8(ascii: "<") || $0 == UInt8(ascii: ">") || $0 == UInt8(ascii: "&") || $0 == 0xE2 }
        let hasQuote = has { $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }
        guard hasControl || hasNonASCII || hasSlash || hasMarkup || hasQuote else { return [] }

        var spellings: [[UInt8]] = []
        for hex in hasControl || hasNonASCII ? [HexDigits.lower, .upper] : [.lower] {
            for escapesSlash in hasSlash ? [false, true] : [false] {
                for escapesNonASCII in hasNonASCII ? [false, true] : [false] {
                    let writer = JSONSpelling(escapesNonASCII: escapesNonASCII, escapesSlash: escapesSlash, hex: hex)
                    spellings.append(writer.spell(value))
                }
            }
        }
        if hasMarkup { spellings.append(JSONSpelling(escapesMarkup: true).spell(value)) }
        return spellings
    }

    func spell(_ value: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(value.count + value.count / 4)
        var position = 0
        while position < value.count {
            let byte = value[position]
            if byte < 0x80 {
                escape(ascii: byte, into: &out)
                position += 1
                continue
            }
            var parser = Unicode.UTF8.ForwardParser()
            var rest = value[position..<min(position + 4, value.count)].makeIterator()
            let length: Int
            if case .valid(let encoded) = parser.parseScalar(from: &rest) {
                length = encoded.count
                escape(Unicode.UTF8.decode(encoded), spelt: value[position..<position + length], into: &out)
            } else {
                length = 1
                // Python reads such a byte of the environment as a lone surrogate (PEP 383) and writes that.
                if escapesNonASCII { escape(unit: 0xDC00 | UInt16(byte), into: &out) } else { out.append(byte) }
            }
            position += length
        }
        return out
    }

    private func escape(ascii byte: UInt8, into out: inout [UInt8]) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): out.append(contentsOf: [UInt8(ascii: "\\"), byte])
        case 0x08: out.append(contentsOf: "\\b".utf8)
        case 0x09: out.append(contentsOf: "\\t".utf8)
        case 0x0A: out.append(contentsOf: "\\n".utf8)
        case 0x0C: out.append(contentsOf: "\\f".utf8)
        case 0x0D: out.append(contentsOf: "\\r".utf8)
        case 0..<0x20: escape(unit: UInt16(byte), into: &out)
        case UInt8(ascii: "/") where escapesSlash: out.append(contentsOf: "\\/".utf8)
        case 0x7F where escapesNonASCII: escape(unit: 0x7F, into: &out)
        case UInt8(ascii: "<") where escapesMarkup: escape(unit: UInt16(byte), into: &out)
        case UInt8(ascii: ">") where escapesMarkup: escape(unit: UInt16(byte), into: &out)
        case UInt8(ascii: "&") where escapesMarkup: escape(unit: UInt16(byte), into: &out)
        default: out.append(byte)
        }
    }

    private func escape(_ scalar: Unicode.Scalar, spelt bytes: ArraySlice<UInt8>, into out: inout [UInt8]) {
        let isLineSeparator = scalar == "\u{2028}" || scalar == "\u{2029}"
        guard escapesNonASCII || (escapesMarkup && isLineSeparator) else { return out.append(contentsOf: bytes) }
        for unit in String(scalar).utf16 { escape(unit: unit, into: &out) }
    }

    private func escape(unit: UInt16, into out: inout [UInt8]) {
        let digits = hex.digits
        out.append(contentsOf: "\\u".utf8)
        for shift in [12, 8, 4, 0] { out.append(digits[Int(unit >> UInt16(shift)) & 15]) }
    }
}
