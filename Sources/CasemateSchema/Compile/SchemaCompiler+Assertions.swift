extension SchemaCompiler {
    /// The test of a keyword that needs no other; nil where every value passes it.
    mutating func assertion(_ keyword: Keyword, _ value: JSONValue) throws(SchemaFault) -> Subschema.Test? {
        switch keyword {
        case .type: return .type(try types(value))
        case .const: return .values([value], shown: value.shown)
        case .enum: return .values(Set(try list(value)), shown: Self.shown(try list(value)))
        case .minimum: return .minimum(try number(value))
        case .exclusiveMinimum: return .exclusiveMinimum(try bound(value, beside: .minimum))
        case .maximum: return .maximum(try number(value))
        case .exclusiveMaximum: return .exclusiveMaximum(try bound(value, beside: .maximum))
        case .multipleOf:
            let divisor = try number(value)
            guard divisor.isPositive else { throw fault("is not more than 0", "write a number that is") }
            guard divisor.isDivisor else {
                throw fault("has more than \(JSONNumber.headDigits) digits", "write a number with fewer, zeros at either end aside")
            }
            return .multipleOf(divisor)
        case .minLength: return .minLength(try count(value))
        case .maxLength: return .maxLength(try count(value))
        case .pattern: return .pattern(try pattern(try text(value)))
        case .minItems: return .minItems(try count(value))
        case .maxItems: return .maxItems(try count(value))
        case .uniqueItems:
            guard case .bool(let isUnique) = value else { throw fault("is neither true nor false", "write one of them") }
            return isUnique ? .uniqueItems : nil
        case .minProperties: return .minProperties(try count(value))
        case .maxProperties: return .maxProperties(try count(value))
        case .required:
            if case .bool = value { throw fault("is true or false", "write a list of names beside properties") }
            return .required(try names(value))
        case .dependentRequired:
            var needs: [(name: JSONString, others: [JSONString])] = []
            for member in try object(value).members {
                let others = try within(member.name) { compiler throws(SchemaFault) in try compiler.names(member.value) }
                needs.append((member.name, others))
            }
            return .dependentRequired(needs)
        default: return nil
        }
    }

    private func bound(_ value: JSONValue, beside other: Keyword) throws(SchemaFault) -> JSONNumber {
        if case .bool = value { throw fault("is true or false", "write the number here, in place of \(other.rawValue)") }
        return try number(value)
    }

    private mutating func types(_ value: JSONValue) throws(SchemaFault) -> Types {
        guard case .array = value else { return try type(value) }
        let names = try names(value)
        guard !names.isEmpty else { throw fault("is empty", "write a type into it, or leave it out") }
        var types: Types = []
        for name in names { types.formUnion(try type(.string(name))) }
        return types
    }

    private func type(_ value: JSONValue) throws(SchemaFault) -> Types {
        guard case .string(let name) = value, let type = Types(name) else { throw fault("is no type", "known are \(Types.names)") }
        return type
    }

    /// The first few, as people read them: they are the schema's own.
    private static func shown(_ values: [JSONValue]) -> String {
        let most = 8
        let shown = values.prefix(most).map(\.shown).joined(separator: ", ")
        return values.count > most ? "\(shown) and \(values.count - most) more" : shown
    }
}

extension JSONValue {
    /// In a message about a schema.
    fileprivate var shown: String {
        switch self {
        case .null: return "null"
        case .bool(let value): return "\(value)"
        case .number(let number): return number.tail.isEmpty ? "\(number)" : "a certain number"
        case .string(let string): return string.shown
        case .array(let items): return items.isEmpty ? "[]" : "a certain list"
        case .object(let object): return object.members.isEmpty ? "{}" : "a certain object"
        }
    }
}

extension JSONString {
    /// A word of the schema's in a message: in quotes, cut, and with everything escaped that a terminal would obey.
    var shown: String {
        let scalars = text.unicodeScalars
        let shown = scalars.prefix(60).map { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .unassigned, .privateUse:
                "\\u{\(String(scalar.value, radix: 16))}"
            default: scalar == "\"" || scalar == "\\" ? "\\\(scalar)" : "\(scalar)"
            }
        }
        return "\"\(shown.joined())\(scalars.dropFirst(60).isEmpty ? "" : "…")\""
    }
}
