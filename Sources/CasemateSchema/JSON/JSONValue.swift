/// A JSON document as JSON Schema sees it (2020-12 core §4.2.2): numbers are equal when their mathematical value is, strings when their
/// code points are, objects whatever the order of their members. So `1` equals `1.0`, and 9007199254740993 isn't 9007199254740992.
public enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case number(JSONNumber)
    case string(JSONString)
    case array([JSONValue])
    case object(JSONObject)

    /// What comparing or hashing it costs, in steps of a check: one for each value, and for each 64 bytes of text.
    var weight: Int {
        switch self {
        case .null, .bool: 1
        case .number(let number): 1 + number.tail.count / 64
        case .string(let string): 1 + string.utf8.count / 64
        case .array(let items): items.reduce(1) { $0 + $1.weight }
        case .object(let object): object.members.reduce(1) { $0 + 1 + $1.name.utf8.count / 64 + $1.value.weight }
        }
    }
}
