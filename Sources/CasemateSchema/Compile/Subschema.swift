/// A compiled schema, or one within it: all of its rules hold, or the value does not match. Those within it stand in the same list,
/// and rules name them by their place there, so that one may refer to itself.
struct Subschema: Sendable {
    var rules: [Rule] = []

    struct Rule: Sendable {
        /// The keyword that says so; `Keyword.never` where a schema is `false`.
        let keyword: String
        let test: Test
    }

    /// What a value has to be. One that is of a kind that the test is not about passes it.
    enum Test: Sendable {
        case never
        case type(Types)
        /// `enum` and `const`.
        case values(Set<JSONValue>, shown: String)
        case minimum(JSONNumber)
        case exclusiveMinimum(JSONNumber)
        case maximum(JSONNumber)
        case exclusiveMaximum(JSONNumber)
        case multipleOf(JSONNumber)
        case minLength(Int)
        case maxLength(Int)
        case pattern(Pattern)
        case minItems(Int)
        case maxItems(Int)
        case uniqueItems
        case prefixItems([Int])
        case items(Int, from: Int)
        case contains(Int, least: Int, most: Int)
        case minProperties(Int)
        case maxProperties(Int)
        case required([JSONString])
        case dependentRequired([(name: JSONString, others: [JSONString])])
        case members(Members)
        case propertyNames(Int)
        case dependentSchemas([(name: JSONString, index: Int)])
        case ref(Int)
        case allOf([Int])
        case anyOf([Int])
        case oneOf([Int])
        case not(Int)
        case conditional(if: Int, then: Int?, else: Int?)
    }

    /// `properties`, `patternProperties` and `additionalProperties`, which is about what neither of those is.
    struct Members: Sendable {
        var properties: [JSONString: Int] = [:]
        var patterns: [(pattern: Pattern, index: Int)] = []
        var additional: Int?
    }

    var isNever: Bool {
        guard case .never? = rules.first?.test else { return false }
        return true
    }

    /// The schemas that look at the same value as this one.
    var inPlace: [Int] {
        rules.flatMap { (rule) -> [Int] in
            switch rule.test {
            case .ref(let index), .not(let index): [index]
            case .allOf(let indices), .anyOf(let indices), .oneOf(let indices): indices
            case .conditional(let condition, let then, let otherwise): [condition] + [then, otherwise].compactMap { $0 }
            case .dependentSchemas(let schemas): schemas.map(\.index)
            default: []
            }
        }
    }
}
