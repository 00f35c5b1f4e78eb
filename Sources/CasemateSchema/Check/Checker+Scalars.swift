extension Checker {
    mutating func test(_ rule: Subschema.Rule, _ number: JSONNumber) throws(TooCostly) -> Failure? {
        switch rule.test {
        case .minimum(let least): return failure(rule, unless: number >= least, "must be at least \(least)")
        case .exclusiveMinimum(let least): return failure(rule, unless: number > least, "must be more than \(least)")
        case .maximum(let most): return failure(rule, unless: number <= most, "must be at most \(most)")
        case .exclusiveMaximum(let most): return failure(rule, unless: number < most, "must be less than \(most)")
        case .multipleOf(let divisor):
            try pay((number.tail.count + abs(Int(number.order))) / 8)
            return failure(rule, unless: number.isMultiple(of: divisor), "must be a multiple of \(divisor)")
        default: return nil
        }
    }

    mutating func test(_ rule: Subschema.Rule, _ string: JSONString) throws(TooCostly) -> Failure? {
        switch rule.test {
        case .minLength(let least):
            try pay(string.utf8.count / 64)
            return failure(
                rule, unless: string.codePoints >= least, "must have at least \(least) \(least == 1 ? "character" : "characters")")
        case .maxLength(let most):
            try pay(string.utf8.count / 64)
            return failure(rule, unless: string.codePoints <= most, "must have at most \(most) \(most == 1 ? "character" : "characters")")
        case .pattern(let pattern):
            return failure(rule, unless: try finds(pattern, in: string), "must match the pattern \(JSONString(pattern.source).shown)")
        default: return nil
        }
    }
}
