@testable import CasemateSchema

/// Schemas and documents out of their texts.
enum SchemaFixture {
    static func value(_ text: String) throws(JSONFault) -> JSONValue { try JSONValue(Array(text.utf8), atMost: 16_777_216) }

    static func schema(_ text: String) throws(SchemaFault) -> InputSchema { try InputSchema(Array(text.utf8)) }

    static func violation(_ schema: String, _ document: String) throws -> Violation? { try self.schema(schema).check(value(document)) }

    static func fault(_ schema: String) -> SchemaFault? {
        do {
            _ = try self.schema(schema)
            return nil
        } catch {
            return error
        }
    }

    /// `count` times the same text, with commas.
    static func list(_ count: Int, _ item: (Int) -> String) -> String { (0..<count).map(item).joined(separator: ",") }
}

/// The same numbers each time (SplitMix64).
struct Chance: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
