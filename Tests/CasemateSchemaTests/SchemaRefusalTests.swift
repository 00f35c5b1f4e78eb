import CasemateModel
import Testing

@testable import CasemateSchema

/// All refusals with their places stand in Tests/support/schema_cases.py.
@Suite("Schemas that are not taken")
struct SchemaRefusalTests {
    @Test(
        "say where, what and what to write instead",
        arguments: [
            (#"{"properties": {"a/b": {"typ": 1}}}"#, "/properties/a~1b/typ is no keyword of JSON Schema 2020-12; did you mean type?"),
            (#"{"items": [{}]}"#, "/items is a list; use prefixItems for the first items, and items for the rest"),
            (#"{"nullable": true}"#, #"/nullable is not taken here; add "null" to type"#),
            (#"{"exclusiveMinimum": true}"#, "/exclusiveMinimum is true or false; write the number here, in place of minimum"),
            (#"{"allOf": [{"minLength": -1}]}"#, "/allOf/0/minLength is no count; write a whole number from 0"),
            (
                ##"{"$ref": "#/$defs/a"}"##,
                ##"/$ref leads to no schema in this document; put the schema under $defs, and write "#/$defs/name""##
            ),
            (#"{"pattern": "a++"}"#, #"/pattern as a pattern: + repeats nothing that can be repeated; write \+ for the character"#),
            (
                #"{"$schema": "http://json-schema.org/draft-07/schema#"}"#,
                #"/$schema names another dialect; write "https://json-schema.org/draft/2020-12/schema", the one that is taken here, or leave it out"#
            ),
            ("3", "the schema is no schema; write an object, true or false"),
        ])
    func worded(schema: String, expected: String) { #expect(SchemaFixture.fault(schema)?.description == expected) }

    @Test("list what is known, where nothing is near")
    func known() throws {
        let fault = try #require(SchemaFixture.fault(#"{"somethingElse": 1}"#))
        #expect(fault.pointer == "/somethingElse")
        for keyword in Keyword.allCases { #expect(fault.fix.contains(keyword.rawValue)) }
        #expect(SchemaFixture.fault(#"{"x-somethingElse": {"typ": 1}}"#) == nil)
    }

    @Test("become a diagnostic of their file")
    func diagnostic() throws {
        let fault = try #require(SchemaFixture.fault(#"{"type": "text"}"#))
        #expect(
            fault.diagnostic(file: "schema.json").description
                == "schema.json: /type is no type; known are null, boolean, integer, number, string, array, object")
    }

    @Test(
        "would ask themselves about the same value for ever",
        arguments: [
            ##"{"$ref": "#"}"##, ##"{"allOf": [{"$ref": "#"}]}"##, ##"{"if": {"$ref": "#"}, "then": {}}"##,
            ##"{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}}"##,
            ##"{"dependentSchemas": {"a": {"anyOf": [{"oneOf": [{"$ref": "#"}]}]}}}"##,
        ])
    func loops(schema: String) { #expect(SchemaFixture.fault(schema)?.what.hasPrefix("leads back to itself") == true) }

    @Test(
        "may refer to themselves through the data",
        arguments: [
            ##"{"properties": {"a": {"$ref": "#"}}}"##, ##"{"items": {"$ref": "#"}}"##, ##"{"contains": {"$ref": "#"}}"##,
            ##"{"additionalProperties": {"allOf": [{"$ref": "#"}]}}"##, ##"{"propertyNames": {"$ref": "#"}}"##,
        ])
    func recursive(schema: String) throws {
        #expect(SchemaFixture.fault(schema) == nil)
        #expect(try SchemaFixture.violation(schema, #"{"a": {"a": [[], {}]}}"#) == nil)
    }

    @Test("are too large, too deep or too many")
    func bounded() {
        let long = #"{"title": ""# + String(repeating: "a", count: 262_144) + #""}"#
        #expect(SchemaFixture.fault(long)?.what.contains("262144 bytes") == true)
        let deep = String(repeating: #"{"not":"#, count: 70) + "{}" + String(repeating: "}", count: 70)
        #expect(SchemaFixture.fault(deep)?.what.hasPrefix("is nested more than 64 deep") == true)
        func wide(_ count: Int) -> String { #"{"anyOf": ["# + SchemaFixture.list(count) { _ in "{}" } + "]}" }
        #expect(SchemaFixture.fault(wide(10_000))?.what.hasPrefix("is one of more than 10000") == true)
        #expect(SchemaFixture.fault(wide(9_999)) == nil)
        let chain = SchemaFixture.list(5000) { "\"d\($0)\": {\"$ref\": \"#/$defs/d\($0 + 1)\"}" }
        let chained = SchemaFixture.fault("{\"$defs\": {\(chain), \"d5000\": {}}}")
        #expect(chained?.what.hasPrefix("leads back to itself, or through more than 64") == true)
        let heavy = SchemaFixture.list(2000) { _ in #"{"pattern": "((a{99}){99}){2}"}"# }
        #expect(SchemaFixture.fault("{\"allOf\": [\(heavy)]}")?.what.contains("too much memory") == true)
    }
}
