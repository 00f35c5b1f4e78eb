import Testing

@testable import CasemateSchema

/// What matches stands in Tests/support/schema_cases.py, where jsonschema is asked too. Here: what is said of what does not.
@Suite("The first rule that a document breaks")
struct InputSchemaTests {
    @Test(
        "is told by its place and its rule",
        arguments: [
            (
                #"{"properties": {"items": {"items": {"properties": {"price": {"minimum": 0}}}}}}"#,
                #"{"items": [{}, {}, {}, {"price": -1}]}"#, "minimum", "/items/3/price: must be at least 0"
            ),
            (#"{"type": "object"}"#, "3", "type", "must be an object"),
            (#"{"type": ["string", "null"]}"#, "3", "type", "must be null or a string"),
            (#"{"required": ["name"]}"#, "{}", "required", #"must have "name""#),
            (#"{"items": {"required": ["name"]}}"#, "[{}]", "required", #"/0: must have "name""#),
            (#"{"dependentRequired": {"card": ["cvc"]}}"#, #"{"card": 1}"#, "dependentRequired", #"must have "cvc" beside "card""#),
            (#"{"additionalProperties": false}"#, #"{"a/~": 1}"#, "additionalProperties", "/a~1~0: is not known to the schema"),
            (#"{"properties": {"a": false}}"#, #"{"a": 1}"#, "false", "/a: must not be there"),
            (
                #"{"propertyNames": {"maxLength": 3}}"#, #"{"secret": 1}"#, "propertyNames",
                "has a member whose name must have at most 3 characters"
            ),
            (#"{"const": "a\n\"b"}"#, "1", "const", #"must be "a\u{a}\"b""#),
            (#"{"enum": [1, null, "x", [1], {}]}"#, "2", "enum", #"must be one of 1, null, "x", a certain list, {}"#),
            (#"{"enum": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}"#, "0", "enum", "must be one of 1, 2, 3, 4, 5, 6, 7, 8 and 2 more"),
            (#"{"exclusiveMaximum": 1e-3}"#, "1", "exclusiveMaximum", "must be less than 0.001"),
            (#"{"multipleOf": 0.1}"#, "0.15", "multipleOf", "must be a multiple of 0.1"),
            (#"{"minLength": 1}"#, #""""#, "minLength", "must have at least 1 character"),
            (#"{"pattern": "^\\d+$"}"#, #""a""#, "pattern", #"must match the pattern "^\\d+$""#),
            (#"{"uniqueItems": true}"#, "[1, 2, 1.0]", "uniqueItems", "must not have the same item twice, as items 0 and 2 are"),
            (#"{"prefixItems": [true, {"type": "null"}]}"#, "[1, 2]", "type", "/1: must be null"),
            (#"{"contains": {"const": 1}}"#, "[2]", "contains", "must have at least 1 of the items that contains describes"),
            (#"{"contains": true, "maxContains": 1}"#, "[1, 2]", "maxContains", "must have at most 1 of the items that contains describes"),
            (#"{"not": {"type": "null"}}"#, "null", "not", "must not match what stands under not"),
            (#"{"if": {"type": "string"}, "then": {"minLength": 1}}"#, #""""#, "minLength", "must have at least 1 character"),
            (##"{"$ref": "#/$defs/a", "$defs": {"a": {"maxItems": 0}}}"##, "[1]", "maxItems", "must have at most 0 items"),
            (#"{"oneOf": [{}, {}, false]}"#, "1", "oneOf", "must match exactly one of 3 alternatives, and matches more"),
        ])
    func told(schema: String, document: String, keyword: String, expected: String) throws {
        let violation = try #require(try SchemaFixture.violation(schema, document))
        #expect(violation.description == expected)
        #expect(violation.keyword == keyword)
        #expect(!violation.isTooCostly)
    }

    @Test(
        "among alternatives is that of the one that was meant",
        arguments: [
            (#"{"anyOf": [{"type": "null"}, {"type": "object", "required": ["id"]}]}"#, "{}", #"must have "id""#),
            (#"{"oneOf": [{"type": "string", "minLength": 3}, {"type": "integer"}]}"#, #""a""#, "must have at least 3 characters"),
            (#"{"anyOf": [{"type": "string"}, {"type": "integer"}]}"#, "[]", "matches none of the 2 alternatives of anyOf"),
            (#"{"anyOf": [{"minimum": 3}, {"multipleOf": 3}]}"#, "1", "matches none of the 2 alternatives of anyOf"),
            (
                #"{"oneOf": [{"properties": {"t": {"const": "a"}}}, {"properties": {"t": {"const": "b"}, "v": {"minimum": 1}}}]}"#,
                #"{"t": "b", "v": 0}"#, "/v: must be at least 1"
            ),
        ])
    func alternatives(schema: String, document: String, expected: String) throws {
        #expect(try SchemaFixture.violation(schema, document)?.description == expected)
    }

    @Test("never quotes a value, nor a name that is none")
    func quiet() throws {
        let secret = "s3cr3t-7f3a"
        for schema in [#"{"type": "null"}"#, #"{"const": 1}"#, #"{"maxLength": 1}"#, #"{"pattern": "^x"}"#, #"{"not": {}}"#, "false"] {
            let violation = try #require(try SchemaFixture.violation(schema, "\"\(secret)\""))
            #expect(!violation.description.contains(secret))
        }
        let long = String(repeating: "k", count: 129)
        let violation = try SchemaFixture.violation(#"{"items": {"additionalProperties": {"type": "null"}}}"#, "[{\"\(long)\": {}}]")
        #expect(violation?.description == "/0: holds something that must be null")
        #expect(try SchemaFixture.violation(#"{"additionalProperties": {"type": "null"}}"#, #"{"\u001b[2J": 1}"#)?.pointer == "")
        let named = try SchemaFixture.violation(#"{"propertyNames": {"const": "a"}}"#, "{\"\(secret)\": 1}")
        #expect(named?.description.contains(secret) == false)
    }

    @Test("of parameters: strings, and a list where a name comes again")
    func parameters() throws {
        let schema = try SchemaFixture.schema(
            #"""
            {"type": "object", "required": ["id"], "additionalProperties": false, "properties": {
                "id": {"type": "string", "pattern": "^\\d+$"}, "tag": {"type": ["string", "array"], "items": {"maxLength": 3}, "maxItems": 2}
            }}
            """#)
        #expect(schema.check(parameters: [("id", "1")]) == nil)
        #expect(schema.check(parameters: [("tag", "abcd"), ("id", "1")]) == nil)
        #expect(schema.check(parameters: [("tag", "a"), ("id", "1"), ("tag", "b")]) == nil)
        #expect(
            schema.check(parameters: [("tag", "a"), ("id", "1"), ("tag", "abcd")])?.description == "/tag/1: must have at most 3 characters")
        #expect(schema.check(parameters: [("id", "1"), ("id", "1")])?.description == "/id: must be a string")
        #expect(schema.check(parameters: [])?.description == #"must have "id""#)
        #expect(schema.check(parameters: [("id", "x")])?.pointer == "/id")
        #expect(schema.check(parameters: [("id", "1"), ("e\u{301}", "")])?.keyword == "additionalProperties")
    }
}
