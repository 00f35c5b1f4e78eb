extension JSONValue {
    /// Brackets open at once: as `StrictJSON.depth` has it.
    public static let mostDepth = 64
    /// Values and names together: each costs some 30 bytes here, though it may be 2 bytes of the document.
    public static let mostValues = 1_000_000

    /// Parses a document (RFC 8259).
    /// - Parameter limit: most bytes.
    public init(_ bytes: [UInt8], atMost limit: Int) throws(JSONFault) {
        guard bytes.count <= limit else { throw JSONFault(offset: limit, what: "has more than \(limit) bytes") }
        guard String(validating: bytes, as: UTF8.self) != nil else { throw JSONFault(offset: 0, what: "is not UTF-8") }
        var parser = JSONParser(bytes)
        self = try parser.document()
    }
}

/// RFC 8259, to the letter, over bytes that are UTF-8.
///
/// Our own, for no parser at hand leaves a document as it was written: Foundation's turns numbers into doubles or `Decimal`s of 38 digits,
/// takes two names for one where they differ in how letters are composed, keeps one of two members with the same name without a word,
/// and lets a comma before a bracket pass. What is checked here must be what the function's own parser will see.
struct JSONParser {
    let bytes: [UInt8]
    var at = 0
    private var values = 0
    private var depth = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() throws(JSONFault) -> JSONValue {
        skipSpace()
        let value = try value()
        skipSpace()
        guard at == bytes.count else { throw fault("goes on after its end") }
        return value
    }

    /// The byte at hand; 0, which stands nowhere in JSON, at the end.
    var byte: UInt8 { at < bytes.count ? bytes[at] : 0 }

    func fault(_ what: String) -> JSONFault { JSONFault(offset: at, what: at < bytes.count ? what : "ends too early") }

    private mutating func skipSpace() {
        while true {
            switch byte {
            case 0x20, 0x0a, 0x0d, 0x09: at += 1
            default: return
            }
        }
    }

    /// Takes `wanted`, where it comes next.
    private mutating func takes(_ wanted: Unicode.Scalar) -> Bool {
        guard byte == UInt8(ascii: wanted) else { return false }
        at += 1
        return true
    }

    private mutating func countOne() throws(JSONFault) {
        values += 1
        guard values <= JSONValue.mostValues else { throw fault("has more than \(JSONValue.mostValues) values") }
    }

    private mutating func value() throws(JSONFault) -> JSONValue {
        try countOne()
        switch byte {
        case UInt8(ascii: "{"): return .object(try nested { parser throws(JSONFault) in try parser.object() })
        case UInt8(ascii: "["): return .array(try nested { parser throws(JSONFault) in try parser.array() })
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number())
        default: throw fault("has something else where a value should be")
        }
    }

    private mutating func literal(_ word: StaticString, _ value: JSONValue) throws(JSONFault) -> JSONValue {
        let end = at + word.utf8CodeUnitCount
        let isWord = word.withUTF8Buffer { end <= bytes.count && bytes[at..<end].elementsEqual($0) }
        guard isWord else { throw fault("has something else where a value should be") }
        at = end
        return value
    }

    private mutating func nested<T>(_ body: (inout JSONParser) throws(JSONFault) -> T) throws(JSONFault) -> T {
        depth += 1
        defer { depth -= 1 }
        guard depth <= JSONValue.mostDepth else { throw fault("is nested more than \(JSONValue.mostDepth) deep") }
        at += 1
        skipSpace()
        return try body(&self)
    }

    private mutating func array() throws(JSONFault) -> [JSONValue] {
        var items: [JSONValue] = []
        if takes("]") { return items }
        while true {
            items.append(try value())
            skipSpace()
            if takes("]") { return items }
            guard takes(",") else { throw fault("lacks a comma or a bracket") }
            skipSpace()
        }
    }

    private mutating func object() throws(JSONFault) -> JSONObject {
        let members = try self.members()
        guard let object = JSONObject(members) else { throw JSONFault(offset: at, what: "has an object with the same name twice") }
        return object
    }

    private mutating func members() throws(JSONFault) -> [JSONObject.Member] {
        var members: [JSONObject.Member] = []
        if takes("}") { return members }
        while true {
            try countOne()
            guard byte == UInt8(ascii: "\"") else { throw fault("has something else where a name should be") }
            let name = try string()
            skipSpace()
            guard takes(":") else { throw fault("lacks a colon") }
            skipSpace()
            members.append(JSONObject.Member(name: name, value: try value()))
            skipSpace()
            if takes("}") { return members }
            guard takes(",") else { throw fault("lacks a comma or a bracket") }
            skipSpace()
        }
    }
}
