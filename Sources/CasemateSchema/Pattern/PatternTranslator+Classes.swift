extension PatternTranslator {
    /// The members of a class up to its `]`, each by its number: so PCRE2 finds nothing in it that ECMA-262 does not have.
    mutating func characterClass() throws(PatternFault) -> String {
        let isNegated = takes("^")
        var members = ""
        while !takes("]") {
            let low = try classMember()
            guard peek == "-", at + 1 < source.count, source[at + 1] != "]" else {
                members += low.text
                continue
            }
            at += 1
            let high = try classMember()
            guard case .scalar(let from) = low, case .scalar(let to) = high else {
                throw PatternFault("a hyphen stands beside a set like \\w", "put the hyphen first or last in its […]")
            }
            guard from <= to else { throw PatternFault("a range in […] runs backwards", "turn it round") }
            members += "\(Self.written(from))-\(Self.written(to))"
        }
        // To PCRE2 a bracket right after the first one is a character.
        if members.isEmpty { return isNegated ? #"[\x{0}-\x{10ffff}]"# : "(?:(?!))" }
        return "[\(isNegated ? "^" : "")\(members)]"
    }

    private mutating func classMember() throws(PatternFault) -> Escape {
        guard let scalar = next() else { throw PatternFault("a [ is not closed", "add a ], or write \\[ for the character") }
        return scalar == "\\" ? try escape(inClass: true) : .scalar(scalar.value)
    }
}
