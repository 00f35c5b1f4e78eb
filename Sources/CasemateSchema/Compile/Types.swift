/// The kinds of value that `type` allows.
struct Types: OptionSet, Sendable {
    let rawValue: Int

    static let null = Self(rawValue: 1)
    static let boolean = Self(rawValue: 2)
    static let integer = Self(rawValue: 4)
    static let number = Self(rawValue: 8)
    static let string = Self(rawValue: 16)
    static let array = Self(rawValue: 32)
    static let object = Self(rawValue: 64)

    private static let named: [(type: Self, name: JSONString, shown: String)] = [
        (.null, "null", "null"), (.boolean, "boolean", "true or false"), (.integer, "integer", "a whole number"),
        (.number, "number", "a number"), (.string, "string", "a string"), (.array, "array", "an array"), (.object, "object", "an object"),
    ]

    static var names: String { named.map(\.name.text).joined(separator: ", ") }

    init(rawValue: Int) { self.rawValue = rawValue }

    init?(_ name: JSONString) {
        guard let found = Self.named.first(where: { $0.name == name }) else { return nil }
        self = found.type
    }

    func allows(_ value: JSONValue) -> Bool {
        switch value {
        case .null: contains(.null)
        case .bool: contains(.boolean)
        case .number(let number): contains(.number) || contains(.integer) && number.isInteger
        case .string: contains(.string)
        case .array: contains(.array)
        case .object: contains(.object)
        }
    }

    /// `null or a string`
    var shown: String { Self.named.filter { contains($0.type) }.map(\.shown).joined(separator: " or ") }
}
