extension SchemaCompiler {
    mutating func members(_ keyword: Keyword, _ value: JSONValue, to draft: inout SubschemaDraft) throws(SchemaFault) {
        switch keyword {
        case .properties:
            for (name, index) in try namedChildren(value, of: draft.index, keyword) { draft.members.properties[name] = index }
        case .patternProperties:
            for (name, index) in try namedChildren(value, of: draft.index, keyword) {
                let pattern = try within(name) { compiler throws(SchemaFault) in try compiler.pattern(name) }
                draft.members.patterns.append((pattern, index))
            }
        case .additionalProperties:
            draft.members.additional = try child(value, of: draft.index, keyword)
        default:
            draft.add(keyword, .propertyNames(try child(value, of: draft.index, keyword)))
        }
    }

    mutating func items(_ keyword: Keyword, _ value: JSONValue, to draft: inout SubschemaDraft) throws(SchemaFault) {
        switch keyword {
        case .prefixItems:
            let indices = try listedChildren(value, of: draft.index, keyword)
            draft.prefixCount = indices.count
            draft.add(keyword, .prefixItems(indices))
        case .items:
            if case .array = value { throw fault("is a list", "use prefixItems for the first items, and items for the rest") }
            draft.add(keyword, .items(try child(value, of: draft.index, keyword), from: draft.prefixCount))
        case .minContains: draft.leastContained = try count(value)
        case .maxContains: draft.mostContained = try count(value)
        default:
            let index = try child(value, of: draft.index, keyword)
            draft.add(keyword, .contains(index, least: draft.leastContained, most: draft.mostContained))
        }
    }

    mutating func combination(_ keyword: Keyword, _ value: JSONValue, to draft: inout SubschemaDraft) throws(SchemaFault) {
        switch keyword {
        case .ref:
            let target = try target(of: try text(value))
            references.append(Reference(subschema: draft.index, rule: draft.rules.count, path: path, target: target))
            // The root for now: what is meant may not be compiled yet.
            draft.add(keyword, .ref(0))
        case .allOf: draft.add(keyword, .allOf(try listedChildren(value, of: draft.index, keyword)))
        case .anyOf: draft.add(keyword, .anyOf(try listedChildren(value, of: draft.index, keyword)))
        case .oneOf: draft.add(keyword, .oneOf(try listedChildren(value, of: draft.index, keyword)))
        case .not: draft.add(keyword, .not(try child(value, of: draft.index, keyword)))
        case .dependentSchemas: draft.add(keyword, .dependentSchemas(try namedChildren(value, of: draft.index, keyword)))
        case .if: draft.condition = try child(value, of: draft.index, keyword)
        case .then: draft.then = try child(value, of: draft.index, keyword)
        default: draft.otherwise = try child(value, of: draft.index, keyword)
        }
    }
}
