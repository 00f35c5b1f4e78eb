/// Makes a list of subschemas out of a schema's document; the first is the root.
struct SchemaCompiler {
    static let mostSubschemas = 10_000
    /// What all patterns keep in memory.
    static let mostPatternBytes = 4_194_304

    /// Where a subschema stands in the one around it: under a keyword, or under a name or number in that keyword's value.
    struct Place: Hashable {
        let keyword: JSONString
        let name: JSONString?
    }

    struct Reference {
        let subschema: Int
        let rule: Int
        let path: [JSONString]
        let target: [JSONString]
    }

    var subschemas: [Subschema] = []
    /// For each of them, those within it.
    var places: [[Place: Int]] = []
    var references: [Reference] = []
    private var patternBytes = 0
    /// To where the compiler is, for faults.
    private(set) var path: [JSONString] = []

    mutating func compile(_ document: JSONValue) throws(SchemaFault) -> [Subschema] {
        _ = try subschema(document)
        try resolveReferences()
        try refuseLoops()
        return subschemas
    }

    func fault(_ what: String, _ fix: String) -> SchemaFault { fault(at: path, what, fix) }

    func fault(at path: [JSONString], _ what: String, _ fix: String) -> SchemaFault {
        SchemaFault(pointer: path.map { "/" + $0.pointerToken }.joined(), what: what, fix: fix)
    }

    /// Does `body` one step further in.
    mutating func within<T>(
        _ step: JSONString, _ body: (inout SchemaCompiler) throws(SchemaFault) -> T
    ) throws(SchemaFault) -> T {
        path.append(step)
        let result = try body(&self)
        path.removeLast()
        return result
    }

    private mutating func subschema(_ value: JSONValue) throws(SchemaFault) -> Int {
        let index = subschemas.count
        guard index < Self.mostSubschemas else {
            throw fault("is one of more than \(Self.mostSubschemas) schemas", "use fewer, and $ref for those that are alike")
        }
        subschemas.append(Subschema())
        places.append([:])
        switch value {
        case .bool(true): break
        case .bool(false): subschemas[index].rules = [Subschema.Rule(keyword: Keyword.never, test: .never)]
        case .object(let object): try keywords(of: object, in: index)
        default: throw fault("is no schema", "write an object, true or false")
        }
        return index
    }

    /// A schema that is a keyword's value, or stands under `name` in it.
    mutating func child(_ value: JSONValue, of parent: Int, _ keyword: Keyword, _ name: JSONString? = nil) throws(SchemaFault) -> Int {
        let index =
            if let name {
                try within(name) { compiler throws(SchemaFault) in try compiler.subschema(value) }
            } else {
                try subschema(value)
            }
        places[parent][Place(keyword: JSONString(keyword.rawValue), name: name)] = index
        return index
    }

    mutating func pattern(_ source: JSONString) throws(SchemaFault) -> Pattern {
        let pattern: Pattern
        do {
            pattern = try Pattern(source.text)
        } catch {
            throw fault("as a pattern: \(error.what)", error.fix)
        }
        patternBytes += pattern.compiledBytes
        guard patternBytes <= Self.mostPatternBytes else {
            throw fault("as a pattern takes too much memory, with those before it", "use fewer patterns, or smaller counts in {…}")
        }
        return pattern
    }

    private mutating func keywords(of object: JSONObject, in index: Int) throws(SchemaFault) {
        var found: [(keyword: Keyword, value: JSONValue)] = []
        for member in object.members {
            if let keyword = Keyword(rawValue: member.name.text) {
                found.append((keyword, member.value))
            } else if !member.name.utf8.starts(with: "x-".utf8) {
                let what = Keyword.refused[member.name.text] == nil ? "is no keyword of JSON Schema 2020-12" : "is not taken here"
                throw try within(member.name) { compiler throws(SchemaFault) in compiler.fault(what, Keyword.fix(for: member.name.text)) }
            }
        }
        var draft = SubschemaDraft(index: index)
        for keyword in Keyword.allCases {
            if keyword == .propertyNames { draft.addMembers() }
            guard let value = found.first(where: { $0.keyword == keyword })?.value else { continue }
            try within(JSONString(keyword.rawValue)) { compiler throws(SchemaFault) in try compiler.add(keyword, value, to: &draft) }
        }
        draft.addCondition()
        subschemas[index].rules = draft.rules
    }

    private mutating func add(_ keyword: Keyword, _ value: JSONValue, to draft: inout SubschemaDraft) throws(SchemaFault) {
        switch keyword {
        case .type, .enum, .const, .minimum, .exclusiveMinimum, .maximum, .exclusiveMaximum, .multipleOf, .minLength, .maxLength, .pattern,
            .minItems, .maxItems, .uniqueItems, .minProperties, .maxProperties, .required, .dependentRequired:
            if let test = try assertion(keyword, value) { draft.add(keyword, test) }
        case .properties, .patternProperties, .additionalProperties, .propertyNames:
            try members(keyword, value, to: &draft)
        case .prefixItems, .items, .minContains, .maxContains, .contains:
            try items(keyword, value, to: &draft)
        case .ref, .allOf, .anyOf, .oneOf, .not, .dependentSchemas, .if, .then, .else:
            try combination(keyword, value, to: &draft)
        case .defs, .definitions:
            _ = try namedChildren(value, of: draft.index, keyword)
        case .contentSchema:
            _ = try child(value, of: draft.index, keyword)
        case .schema, .id, .comment, .title, .description, .default, .examples, .deprecated, .readOnly, .writeOnly, .format,
            .contentEncoding, .contentMediaType:
            try annotation(keyword, value, isRoot: draft.index == 0)
        }
    }
}
