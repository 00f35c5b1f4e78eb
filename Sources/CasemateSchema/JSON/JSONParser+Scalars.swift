extension JSONParser {
    mutating func string() throws(JSONFault) -> JSONString {
        at += 1
        let begin = at
        while at < bytes.count, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\"), bytes[at] >= 0x20 { at += 1 }
        if byte == UInt8(ascii: "\"") {
            at += 1
            return JSONString(validated: Array(bytes[begin..<at - 1]))
        }
        var text = Array(bytes[begin..<at])
        while byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw fault("has a string with a control character that is not escaped") }
            if byte == UInt8(ascii: "\\") {
                try escape(onto: &text)
            } else {
                text.append(byte)
                at += 1
            }
        }
        at += 1
        return JSONString(validated: text)
    }

    private mutating func escape(onto text: inout [UInt8]) throws(JSONFault) {
        at += 1
        let letter = byte
        at += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(letter)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text.append(contentsOf: UTF8.encode(try escapedScalar())!)
        default:
            at -= 1
            throw fault("has a string with an unknown escape")
        }
    }

    /// What `\uXXXX` stands for, or two of them. Half of a pair is no code point, and no two parsers make the same of it (RFC 8259 §8.2).
    private mutating func escapedScalar() throws(JSONFault) -> Unicode.Scalar {
        let first = try hexadecimal()
        if let scalar = Unicode.Scalar(first) { return scalar }
        if UTF16.isLeadSurrogate(first), byte == UInt8(ascii: "\\"), at + 1 < bytes.count, bytes[at + 1] == UInt8(ascii: "u") {
            at += 2
            let second = try hexadecimal()
            let scalar = 0x10000 + (UInt32(first) & 0x3ff) << 10 + UInt32(second) & 0x3ff
            if UTF16.isTrailSurrogate(second), let scalar = Unicode.Scalar(scalar) { return scalar }
        }
        throw fault("has a string with half of a surrogate pair")
    }

    private mutating func hexadecimal() throws(JSONFault) -> UInt16 {
        var unit: UInt16 = 0
        for _ in 0..<4 {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw fault("has a string with an unknown escape")
            }
            unit = unit << 4 | UInt16(digit)
            at += 1
        }
        return unit
    }
}

extension JSONParser {
    private var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    mutating func number() throws(JSONFault) -> JSONNumber {
        var digits = NumberDigits()
        let isNegative = byte == UInt8(ascii: "-")
        if isNegative { at += 1 }
        if byte == UInt8(ascii: "0") {
            at += 1
        } else {
            try take(into: &digits, isFraction: false)
        }
        if byte == UInt8(ascii: ".") {
            at += 1
            try take(into: &digits, isFraction: true)
        }
        return digits.number(isNegative: isNegative, exponent: try exponent())
    }

    private mutating func take(into digits: inout NumberDigits, isFraction: Bool) throws(JSONFault) {
        guard isDigit else { throw fault("has a number that lacks a digit") }
        while isDigit {
            digits.push(byte - UInt8(ascii: "0"), isFraction: isFraction)
            guard digits.written <= JSONNumber.mostDigits else { throw fault("has a number of more than \(JSONNumber.mostDigits) digits") }
            at += 1
        }
    }

    private mutating func exponent() throws(JSONFault) -> Int {
        guard byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E") else { return 0 }
        at += 1
        let isNegative = byte == UInt8(ascii: "-")
        if isNegative || byte == UInt8(ascii: "+") { at += 1 }
        guard isDigit else { throw fault("has a number that lacks a digit") }
        var exponent = 0
        while isDigit {
            exponent = exponent * 10 + Int(byte - UInt8(ascii: "0"))
            guard exponent <= JSONNumber.mostExponent else {
                throw fault("has a number with an exponent beyond \(JSONNumber.mostExponent)")
            }
            at += 1
        }
        return isNegative ? -exponent : exponent
    }
}
