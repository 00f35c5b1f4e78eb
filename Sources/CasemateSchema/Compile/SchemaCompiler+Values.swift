/// What keywords may have for a value.
extension SchemaCompiler {
    func number(_ value: JSONValue) throws(SchemaFault) -> JSONNumber {
        guard case .number(let number) = value else { throw fault("is no number", "write one, without quotes") }
        return number
    }

    func count(_ value: JSONValue) throws(SchemaFault) -> Int {
        guard case .number(let number) = value, let count = number.count else { throw fault("is no count", "write a whole number from 0") }
        return count
    }

    func text(_ value: JSONValue) throws(SchemaFault) -> JSONString {
        guard case .string(let text) = value else { throw fault("is no string", "write one, in quotes") }
        return text
    }

    func list(_ value: JSONValue) throws(SchemaFault) -> [JSONValue] {
        guard case .array(let items) = value else { throw fault("is no list", "write one, in […]") }
        return items
    }

    func object(_ value: JSONValue) throws(SchemaFault) -> JSONObject {
        guard case .object(let object) = value else { throw fault("is no object", "write one, in {…}") }
        return object
    }

    /// Names, each once.
    mutating func names(_ value: JSONValue) throws(SchemaFault) -> [JSONString] {
        var names: [JSONString] = []
        var seen: Set<JSONString> = []
        for (at, item) in try list(value).enumerated() {
            let name = try within(JSONString("\(at)")) { compiler throws(SchemaFault) in try compiler.text(item) }
            guard seen.insert(name).inserted else { throw fault("has the same name twice", "leave one out") }
            names.append(name)
        }
        return names
    }

    /// A list of schemas that is not empty.
    mutating func listedChildren(_ value: JSONValue, of parent: Int, _ keyword: Keyword) throws(SchemaFault) -> [Int] {
        let items = try list(value)
        guard !items.isEmpty else { throw fault("is empty", "write a schema into it, or leave it out") }
        var indices: [Int] = []
        for (at, item) in items.enumerated() { indices.append(try child(item, of: parent, keyword, JSONString("\(at)"))) }
        return indices
    }

    mutating func namedChildren(
        _ value: JSONValue, of parent: Int, _ keyword: Keyword
    ) throws(SchemaFault) -> [(name: JSONString, index: Int)] {
        var children: [(name: JSONString, index: Int)] = []
        for member in try object(value).members {
            children.append((member.name, try child(member.value, of: parent, keyword, member.name)))
        }
        return children
    }

    /// A keyword that no value breaks; still, what stands there has the form that the standard's own schema asks for.
    func annotation(_ keyword: Keyword, _ value: JSONValue, isRoot: Bool) throws(SchemaFault) {
        switch keyword {
        case .schema:
            guard isRoot else { throw fault("stands within the schema", "put it at the root, or leave it out") }
            guard try text(value) == JSONString(Keyword.dialect) else {
                throw fault("names another dialect", "write \"\(Keyword.dialect)\", the one that is taken here, or leave it out")
            }
        case .id:
            guard isRoot else { throw fault("stands within the schema", "leave it out, and refer to the place, as in \"#/$defs/name\"") }
            guard !(try text(value)).utf8.contains(UInt8(ascii: "#")) else { throw fault("has a fragment", "leave out # and what follows") }
        case .deprecated, .readOnly, .writeOnly:
            guard case .bool = value else { throw fault("is neither true nor false", "write one of them") }
        case .examples: _ = try list(value)
        case .default: break
        default: _ = try text(value)
        }
    }
}
