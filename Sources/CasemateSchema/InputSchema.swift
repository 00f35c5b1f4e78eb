/// What the body, or the parameters, of a function's calls have to be: a JSON Schema (2020-12), compiled once, at deployment.
///
/// Bytes → `JSONValue` → `SchemaCompiler` → `[Subschema]`, and then for each call: `JSONValue` → `Checker` → `Violation`, if any.
///
/// It takes a part of the standard, and is complete in what it takes: a keyword that is not one of `Keyword`, or whose value this would
/// not do justice to, is refused with what to write instead. So whoever reads the schema knows what is checked. `format` and what else
/// 2020-12 has for annotations says nothing about what matches.
///
/// Schemas come from people who may deploy, documents from anybody. Either is bounded in size and depth, and a check in its steps: what
/// would take more is refused, not passed.
public struct InputSchema: Sendable {
    /// Of the schema's text.
    public static let mostBytes = 262_144
    /// What one check may take; a step is a rule, a member, an item or 64 bytes of text looked at, some 50 ns.
    public static let mostSteps = 1_000_000

    let subschemas: [Subschema]

    public init(_ bytes: [UInt8]) throws(SchemaFault) {
        let document: JSONValue
        do {
            document = try JSONValue(bytes, atMost: Self.mostBytes)
        } catch {
            throw SchemaFault(pointer: "", what: "\(error)", fix: "see https://json-schema.org/draft/2020-12")
        }
        var compiler = SchemaCompiler()
        subschemas = try compiler.compile(document)
    }

    /// The first rule that `value` breaks, in the order of the document and of `Keyword`; nil where it matches.
    public func check(_ value: JSONValue) -> Violation? { check(value, steps: Self.mostSteps) }

    func check(_ value: JSONValue, steps: Int) -> Violation? {
        var checker = Checker(subschemas, steps: steps)
        do {
            return try checker.apply(0, to: value)?.violation
        } catch {
            return error.violation
        }
    }

    /// The same for what a query or a header says: an object of strings. A name that comes several times has a list of them, in that order.
    public func check(parameters: [(String, String)]) -> Violation? {
        var places: [JSONString: Int] = [:]
        var values: [(name: JSONString, texts: [JSONValue])] = []
        for (name, text) in parameters {
            let name = JSONString(name)
            let place = places[name] ?? values.count
            if place == values.count {
                places[name] = place
                values.append((name, []))
            }
            values[place].texts.append(.string(JSONString(text)))
        }
        let members = values.map { JSONObject.Member(name: $0.name, value: $0.texts.count == 1 ? $0.texts[0] : .array($0.texts)) }
        guard let object = JSONObject(members) else { return Violation(pointer: "", keyword: "", message: "has the same name twice") }
        return check(.object(object))
    }
}
