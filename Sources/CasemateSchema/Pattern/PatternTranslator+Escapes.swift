extension PatternTranslator {
    /// What a backslash and its letters stand for.
    enum Escape {
        case scalar(UInt32)
        /// To stand in brackets.
        case set(String)
        case boundary(String)

        /// In brackets.
        var text: String {
            switch self {
            case .scalar(let scalar): PatternTranslator.written(scalar)
            case .set(let text), .boundary(let text): text
            }
        }
    }

    /// White space and line ends of ECMA-262 (§12.2, §12.3); PCRE2's `\s` has those of ASCII alone.
    private static let space =
        #"\x{9}-\x{d}\x{20}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"#
    private static let noSpace =
        #"\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}"#
        + #"\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}"#

    /// General categories by their short names, which both know.
    private static let categories: Set<String> = [
        "L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po",
        "S", "Sm", "Sc", "Sk", "So", "Z", "Zs", "Zl", "Zp", "C", "Cc", "Cf", "Cn", "Co", "Any",
    ]

    /// Reads on after a backslash.
    mutating func escape(inClass: Bool) throws(PatternFault) -> Escape {
        guard let letter = next() else { throw PatternFault("a backslash stands at the end", "write \\\\ for the character") }
        switch letter {
        case "d", "D", "w", "W": return .set("\\\(letter)")
        case "s": return .set(Self.space)
        case "S": return .set(Self.noSpace)
        case "b": return inClass ? .scalar(0x08) : .boundary("\\b")
        case "B" where !inClass: return .boundary("\\B")
        case "t": return .scalar(0x09)
        case "n": return .scalar(0x0a)
        case "v": return .scalar(0x0b)
        case "f": return .scalar(0x0c)
        case "r": return .scalar(0x0d)
        case "0" where peek?.isDigit != true: return .scalar(0)
        case "0"..."9", "k": throw PatternFault("\(shown(letter)) refers back to a group", "write the group's pattern again")
        case "c": return .scalar(try control())
        case "x": return .scalar(try hexadecimal(2, after: letter))
        case "u": return .scalar(try unicode())
        case "p", "P": return .set("\\\(letter){\(try property())}")
        default:
            guard letter.isASCII, !letter.properties.isAlphabetic, letter.value > 0x20, letter.value < 0x7f else {
                throw PatternFault("\(shown(letter)) is no escape of ECMA-262", "see https://tc39.es/ecma262/#sec-patterns")
            }
            return .scalar(letter.value)
        }
    }

    private func shown(_ letter: Unicode.Scalar) -> String {
        (0x21..<0x7f).contains(letter.value) ? "\\\(letter)" : "\\ before \\u{\(String(letter.value, radix: 16))}"
    }

    private mutating func control() throws(PatternFault) -> UInt32 {
        guard let letter = next(), letter.isASCII, letter.properties.isAlphabetic else {
            throw PatternFault("\\c has no letter", "write one of \\cA to \\cZ")
        }
        return letter.value & 0x1f
    }

    /// As many digits as said.
    private mutating func hexadecimal(_ count: Int, after letter: Unicode.Scalar) throws(PatternFault) -> UInt32 {
        let digits = source[at...].prefix(count)
        guard digits.count == count, digits.allSatisfy(\.properties.isASCIIHexDigit) else {
            throw PatternFault("\\\(letter) has not its \(count) hexadecimal digits", "write them, with zeros before")
        }
        at += count
        return digits.reduce(0) { $0 << 4 | UInt32(Character($1).hexDigitValue ?? 0) }
    }

    /// `\uXXXX`, two of them for a code point beyond those, or `\u{X}`.
    private mutating func unicode() throws(PatternFault) -> UInt32 {
        guard takes("{") else {
            let first = try hexadecimal(4, after: "u")
            guard (0xd800..<0xdc00).contains(first), takes("\\u") else { return try codePoint(first) }
            let second = try hexadecimal(4, after: "u")
            guard (0xdc00..<0xe000).contains(second) else { return try codePoint(first) }
            return 0x10000 + (first & 0x3ff) << 10 + second & 0x3ff
        }
        let digits = source[at...].prefix { $0 != "}" }
        guard (1...6).contains(digits.count) else { throw PatternFault("\\u{…} has not 1 to 6 digits", "write \\u{1f600}") }
        let scalar = try hexadecimal(digits.count, after: "u")
        guard takes("}") else { throw PatternFault("\\u{ is not closed", "add a }") }
        return try codePoint(scalar)
    }

    private func codePoint(_ value: UInt32) throws(PatternFault) -> UInt32 {
        guard Unicode.Scalar(value) != nil else { throw PatternFault("\\u… names no code point", "write both halves of a pair") }
        return value
    }

    /// A general category, or a script.
    private mutating func property() throws(PatternFault) -> String {
        let fault = PatternFault(
            "\\p has no property that is known here", "use a general category by its short name, as \\p{Lu}, or \\p{sc=Greek}")
        guard takes("{") else { throw fault }
        let name = String(String.UnicodeScalarView(source[at...].prefix { $0 != "}" }))
        at += name.unicodeScalars.count
        guard takes("}") else { throw fault }
        if Self.categories.contains(name) { return name }
        for prefix in ["Script=", "sc="] where name.hasPrefix(prefix) {
            let script = name.dropFirst(prefix.count)
            let isWord = script.unicodeScalars.allSatisfy { $0 == "_" || ("A"..."Z").contains($0) || ("a"..."z").contains($0) }
            if isWord, !script.isEmpty { return "sc:\(script)" }
        }
        throw fault
    }
}
