extension Checker {
    mutating func test(_ rule: Subschema.Rule, _ items: [JSONValue]) throws(TooCostly) -> Failure? {
        switch rule.test {
        case .minItems(let least):
            return failure(rule, unless: items.count >= least, "must have at least \(least) \(least == 1 ? "item" : "items")")
        case .maxItems(let most):
            return failure(rule, unless: items.count <= most, "must have at most \(most) \(most == 1 ? "item" : "items")")
        case .uniqueItems: return try testUnique(rule, items)
        case .prefixItems(let indices):
            for (at, (index, item)) in zip(indices, items).enumerated() {
                if let failure = try apply(index, to: item) { return failure.within(.index(at)) }
            }
        case .items(let index, let first):
            for (at, item) in items.enumerated().dropFirst(first) {
                if let failure = try apply(index, to: item) { return failure.within(.index(at)) }
            }
        case .contains(let index, let least, let most): return try testContains(rule, items, index, least, most)
        default: break
        }
        return nil
    }

    /// By hash (SipHash, with a key that is random in each process), as comparing each with each would take the square of their number.
    private mutating func testUnique(_ rule: Subschema.Rule, _ items: [JSONValue]) throws(TooCostly) -> Failure? {
        var seen: [JSONValue: Int] = [:]
        for (at, item) in items.enumerated() {
            try pay(item.weight)
            if let first = seen.updateValue(at, forKey: item) {
                return failure(rule.keyword, "must not have the same item twice, as items \(first) and \(at) are")
            }
        }
        return nil
    }

    private mutating func testContains(
        _ rule: Subschema.Rule, _ items: [JSONValue], _ index: Int, _ least: Int, _ most: Int
    ) throws(TooCostly) -> Failure? {
        var count = 0
        for item in items {
            if try matches(index, item) { count += 1 }
            if count > most { return failure("maxContains", "must have at most \(most) of the items that contains describes") }
            if count >= least, most >= items.count { return nil }
        }
        return failure(
            least == 1 ? rule.keyword : "minContains", unless: count >= least,
            "must have at least \(least) of the items that contains describes")
    }

    private func failure(_ keyword: String, unless passed: Bool, _ message: @autoclosure () -> String) -> Failure? {
        passed ? nil : failure(keyword, message())
    }
}
