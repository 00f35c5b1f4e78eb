extension Checker {
    mutating func testCombination(_ rule: Subschema.Rule, _ value: JSONValue) throws(TooCostly) -> Failure? {
        switch rule.test {
        case .allOf(let indices):
            for index in indices {
                if let failure = try apply(index, to: value) { return failure }
            }
        case .anyOf(let indices):
            var failures: [Failure] = []
            for index in indices {
                guard let failure = try apply(index, to: value) else { return nil }
                failures.append(failure)
            }
            return closest(rule, failures)
        case .oneOf(let indices): return try testOneOf(rule, indices, value)
        case .not(let index): return failure(rule, unless: try !matches(index, value), "must not match what stands under not")
        case .conditional(let condition, let then, let otherwise):
            if let index = try matches(condition, value) ? then : otherwise { return try apply(index, to: value) }
        case .dependentSchemas(let schemas):
            guard case .object(let object) = value else { return nil }
            for (name, index) in schemas where try has(name, object) {
                if let failure = try apply(index, to: value) { return failure }
            }
        default: break
        }
        return nil
    }

    private mutating func testOneOf(_ rule: Subschema.Rule, _ indices: [Int], _ value: JSONValue) throws(TooCostly) -> Failure? {
        var failures: [Failure] = []
        for (tried, index) in indices.enumerated() {
            if let failure = try apply(index, to: value) { failures.append(failure) }
            if tried + 1 - failures.count > 1 {
                return failure(rule.keyword, "must match exactly one of \(indices.count) alternatives, and matches more")
            }
        }
        return failures.count < indices.count ? nil : closest(rule, failures)
    }

    /// None of the alternatives matched. Where only one of them was about a value of this kind, what it says is what is wrong.
    private func closest(_ rule: Subschema.Rule, _ failures: [Failure]) -> Failure {
        let meant = failures.filter { !$0.isAboutKind }
        if meant.count == 1 { return meant[0] }
        return failure(rule.keyword, "matches none of the \(failures.count) alternatives of \(rule.keyword)")
    }
}
