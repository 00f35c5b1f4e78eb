extension Checker {
    mutating func test(_ rule: Subschema.Rule, _ object: JSONObject) throws(TooCostly) -> Failure? {
        switch rule.test {
        case .minProperties(let least):
            return failure(rule, unless: object.members.count >= least, "must have at least \(least) \(least == 1 ? "member" : "members")")
        case .maxProperties(let most):
            return failure(rule, unless: object.members.count <= most, "must have at most \(most) \(most == 1 ? "member" : "members")")
        case .required(let names):
            for name in names where try !has(name, object) { return failure(rule.keyword, "must have \(name.shown)") }
        case .dependentRequired(let needs):
            for (name, others) in needs where try has(name, object) {
                for other in others where try !has(other, object) {
                    return failure(rule.keyword, "must have \(other.shown) beside \(name.shown)")
                }
            }
        case .members(let rules): return try testMembers(rules, object)
        case .propertyNames(let index):
            for member in object.members {
                if let inner = try apply(index, to: .string(member.name)) {
                    return failure(rule.keyword, "has a member whose name \(inner.message)")
                }
            }
        default: break
        }
        return nil
    }

    mutating func has(_ name: JSONString, _ object: JSONObject) throws(TooCostly) -> Bool {
        try pay(1)
        return object[name] != nil
    }

    private mutating func testMembers(_ rules: Subschema.Members, _ object: JSONObject) throws(TooCostly) -> Failure? {
        for member in object.members {
            try pay(1 + member.name.utf8.count / 64)
            if let failure = try testMember(rules, member) { return failure.within(.name(member.name)) }
        }
        return nil
    }

    private mutating func testMember(_ rules: Subschema.Members, _ member: JSONObject.Member) throws(TooCostly) -> Failure? {
        var isKnown = false
        if let index = rules.properties[member.name] {
            isKnown = true
            if let failure = try apply(index, to: member.value) { return failure }
        }
        for (pattern, index) in rules.patterns where try finds(pattern, in: member.name) {
            isKnown = true
            if let failure = try apply(index, to: member.value) { return failure }
        }
        guard !isKnown, let index = rules.additional else { return nil }
        guard !subschemas[index].isNever else {
            return failure(Keyword.additionalProperties.rawValue, "is not known to the schema")
        }
        return try apply(index, to: member.value)
    }
}
