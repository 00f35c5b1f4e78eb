/// Writes a pattern of ECMA-262 (which JSON Schema 2020-12 core §6.4 names, with code points as its `u` flag has them) as one of PCRE2.
///
/// The two share most of their syntax and not all of its meaning: `\s`, `\v`, `.`, `[]` and `[[:alpha:]]` differ, and PCRE2 has commands,
/// recursion and callouts besides. So nothing is passed on as it stands: what is known here is written anew, all else is refused.
/// Groups capture nothing, as nothing may refer to them.
struct PatternTranslator {
    private enum Group { case plain, lookaround }

    private static let mostGroups = 50
    /// Whatever does not end a line (ECMA-262 §12.3).
    private static let anyButLineEnd = #"[^\x{a}\x{d}\x{2028}\x{2029}]"#

    let source: [Unicode.Scalar]
    var at = 0
    private var out = ""
    private var groups: [Group] = []
    private var canRepeat = false
    private var hasAlternatives = false
    /// The most that one item is repeated before anything else is looked at.
    private(set) var largestCount = 0
    /// The most code points and ranges in one class: what a character is compared with, one after the other.
    private(set) var widestClass = 1

    init(_ source: String) { self.source = Array(source.unicodeScalars) }

    /// The same pattern for PCRE2.
    mutating func translate() throws(PatternFault) -> String {
        while let scalar = next() { try one(scalar) }
        guard groups.isEmpty else { throw PatternFault("a group is not closed", "add a )") }
        return withoutIdleStart()
    }

    var peek: Unicode.Scalar? { at < source.count ? source[at] : nil }

    mutating func next() -> Unicode.Scalar? {
        guard let scalar = peek else { return nil }
        at += 1
        return scalar
    }

    /// Takes `text`, where it comes next.
    mutating func takes(_ text: String) -> Bool {
        guard source[at...].starts(with: text.unicodeScalars) else { return false }
        at += text.unicodeScalars.count
        return true
    }

    private mutating func one(_ scalar: Unicode.Scalar) throws(PatternFault) {
        switch scalar {
        case "\\": try escaped()
        case "[": item(try characterClass())
        case "(": try open()
        case ")": try close()
        case "*", "+", "?": try quantifier(String(scalar))
        case "{": try brace()
        case "}", "]": item("\\\(scalar)")
        case ".": item(Self.anyButLineEnd)
        case "^", "$": mark(String(scalar))
        case "|":
            if groups.isEmpty { hasAlternatives = true }
            mark("|")
        default: item(String(scalar))
        }
    }

    private mutating func item(_ text: String) {
        widestClass = max(widestClass, text.utf8.count { $0 == UInt8(ascii: "{") })
        out += text
        canRepeat = true
    }

    private mutating func mark(_ text: String) {
        out += text
        canRepeat = false
    }

    private mutating func escaped() throws(PatternFault) {
        switch try escape(inClass: false) {
        case .scalar(let scalar): item(Self.written(scalar))
        case .set(let set): item("[\(set)]")
        case .boundary(let boundary): mark(boundary)
        }
    }

    private mutating func open() throws(PatternFault) {
        var group = Group.plain
        var start = "(?:"
        if takes("*") { throw PatternFault("(* begins a command of some engines", "leave it out; write \\* for a star") }
        if takes("?") {
            if let look = ["<=", "<!", "=", "!"].first(where: { takes($0) }) {
                group = .lookaround
                start = "(?" + look
            } else if takes("<") {
                try groupName()
            } else if !takes(":") {
                throw PatternFault("a group begins with (? and nothing that ECMA-262 has", "use (…), (?:…), (?=…), (?!…), (?<=…) or (?<!…)")
            }
        }
        guard groups.count < Self.mostGroups else {
            throw PatternFault("groups are nested more than \(Self.mostGroups) deep", "use fewer")
        }
        groups.append(group)
        mark(start)
    }

    private mutating func groupName() throws(PatternFault) {
        let begin = at
        while let scalar = next(), scalar != ">" {
            let isFirst = at == begin + 1
            guard scalar.isASCII, scalar == "_" || scalar == "$" || scalar.properties.isAlphabetic || (!isFirst && scalar.isDigit) else {
                throw PatternFault("a group has a name that is none", "begin it with a letter, and go on with letters and digits")
            }
        }
        guard at > begin + 1, source[at - 1] == ">" else { throw PatternFault("a group has no name", "write (?<name>…)") }
    }

    private mutating func close() throws(PatternFault) {
        guard let group = groups.popLast() else { throw PatternFault("a ) closes nothing", "write \\) for the character") }
        mark(")")
        canRepeat = group == .plain
    }

    private mutating func quantifier(_ text: String) throws(PatternFault) {
        guard canRepeat else { throw PatternFault("\(text) repeats nothing that can be repeated", "write \\\(text) for the character") }
        mark(text)
        if takes("?") { out += "?" }
    }

    /// `{2}`, `{2,}` and `{2,3}` repeat. Any other brace is a character, but `{,3}`: which of the two that is depends on whom one asks.
    private mutating func brace() throws(PatternFault) {
        let begin = at
        let least = number()
        let hasComma = takes(",")
        let most = hasComma ? number() : nil
        guard takes("}"), least != nil || most != nil else {
            at = begin
            return item("\\{")
        }
        guard let least else { throw PatternFault("{,…} means a count to some and characters to others", "write {0,…}") }
        largestCount = max(largestCount, least)
        try quantifier("{\(least)" + (hasComma ? "," : "") + (most.map { String($0) } ?? "") + "}")
    }

    /// PCRE2 itself refuses what is beyond 65,535.
    private mutating func number() -> Int? {
        var number: Int?
        while let digit = peek, digit.isDigit {
            number = min((number ?? 0) * 10 + Int(digit.value - 48), 1_000_000)
            at += 1
        }
        return number
    }

    /// Searching for `.*x` finds something where searching for `x` does. But it takes a look from each place to the end.
    private func withoutIdleStart() -> String {
        let idle = Self.anyButLineEnd + "*"
        guard !hasAlternatives, out.hasPrefix(idle) else { return out }
        let rest = out.dropFirst(idle.count)
        return String(rest.hasPrefix("?") ? rest.dropFirst() : rest)
    }

    /// One code point, in a spelling that is only ever that.
    static func written(_ scalar: UInt32) -> String { "\\x{\(String(scalar, radix: 16))}" }
}

extension Unicode.Scalar {
    var isDigit: Bool { ("0"..."9").contains(self) }
}
