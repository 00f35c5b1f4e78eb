/// One check of one document. Each step is paid for, and each schema within a schema is counted, so that it ends soon and with little stack.
struct Checker {
    /// Schemas at work at once, one for the sake of another: data of 64 levels has 8 for each. They take less than 1 MiB of stack
    /// together, and 3 MiB in a debug build, of the 8 that threads have.
    private static let mostNested = 512
    /// Items of a pattern that are tried for one step.
    private static let workPerStep = 4

    let subschemas: [Subschema]
    private var steps: Int
    private var nested = 0
    /// Above 0 while only the verdict counts, as under `not`: nobody will read the message.
    private var quiet = 0
    private var matcher: PatternMatcher?

    init(_ subschemas: [Subschema], steps: Int) {
        self.subschemas = subschemas
        self.steps = steps
    }

    /// The first rule that `value` breaks.
    mutating func apply(_ index: Int, to value: JSONValue) throws(TooCostly) -> Failure? {
        let rules = subschemas[index].rules
        try pay(1 + rules.count)
        nested += 1
        defer { nested -= 1 }
        guard nested <= Self.mostNested else { throw TooCostly(reason: "it is nested too deeply for this schema") }
        for rule in rules {
            if let failure = try test(rule, value) { return failure }
        }
        return nil
    }

    /// Whether `value` matches, without a word on why not.
    mutating func matches(_ index: Int, _ value: JSONValue) throws(TooCostly) -> Bool {
        quiet += 1
        defer { quiet -= 1 }
        return try apply(index, to: value) == nil
    }

    mutating func pay(_ count: Int) throws(TooCostly) {
        steps -= count
        guard steps >= 0 else { throw TooCostly(reason: "it takes too many steps for this schema") }
    }

    mutating func finds(_ pattern: Pattern, in text: JSONString) throws(TooCostly) -> Bool {
        try pay(1 + text.utf8.count / 64)
        if matcher == nil { matcher = PatternMatcher() }
        var work = steps * Self.workPerStep
        let found = matcher?.finds(pattern, in: text, work: &work)
        steps = work / Self.workPerStep
        guard let found else { throw TooCostly(reason: "a pattern takes too long on one of its strings") }
        return found
    }

    /// A failure of this rule, unless the test passed.
    func failure(_ rule: Subschema.Rule, unless passed: Bool, _ message: @autoclosure () -> String) -> Failure? {
        passed ? nil : failure(rule.keyword, message())
    }

    func failure(_ keyword: String, _ message: @autoclosure () -> String) -> Failure {
        quiet > 0 ? Failure(keyword, "") : Failure(keyword, message())
    }

    private mutating func test(_ rule: Subschema.Rule, _ value: JSONValue) throws(TooCostly) -> Failure? {
        switch rule.test {
        case .never: return failure(Keyword.never, "must not be there")
        case .type(let types): return failure(rule, unless: types.allows(value), "must be \(types.shown)")
        case .values(let values, let shown):
            try pay(value.weight)
            return failure(rule, unless: values.contains(value), "must be \(values.count == 1 ? "" : "one of ")\(shown)")
        case .ref(let index): return try apply(index, to: value)
        case .allOf, .anyOf, .oneOf, .not, .conditional, .dependentSchemas: return try testCombination(rule, value)
        default: break
        }
        switch value {
        case .number(let number): return try test(rule, number)
        case .string(let string): return try test(rule, string)
        case .array(let items): return try test(rule, items)
        case .object(let object): return try test(rule, object)
        case .null, .bool: return nil
        }
    }
}
