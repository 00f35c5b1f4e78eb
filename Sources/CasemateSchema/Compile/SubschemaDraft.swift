/// A subschema whose keywords are still being read, with what one of them needs of another.
struct SubschemaDraft {
    let index: Int
    private(set) var rules: [Subschema.Rule] = []
    var members = Subschema.Members()
    var prefixCount = 0
    var leastContained = 1
    var mostContained = Int.max
    var condition: Int?
    var then: Int?
    var otherwise: Int?

    init(index: Int) { self.index = index }

    mutating func add(_ keyword: Keyword, _ test: Subschema.Test) {
        rules.append(Subschema.Rule(keyword: keyword.rawValue, test: test))
    }

    /// `properties` and the two that go by it are one rule.
    mutating func addMembers() {
        if !members.properties.isEmpty || !members.patterns.isEmpty || members.additional != nil { add(.properties, .members(members)) }
    }

    /// Without `if`, `then` and `else` say nothing.
    mutating func addCondition() {
        if let condition, then != nil || otherwise != nil { add(.if, .conditional(if: condition, then: then, else: otherwise)) }
    }
}
