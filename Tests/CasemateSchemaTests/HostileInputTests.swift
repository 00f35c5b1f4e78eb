import Testing

@testable import CasemateSchema

/// None of these may take long: their time is asserted generously, for machines that do other things too.
@Suite("Documents and schemas that mean harm")
struct HostileInputTests {
    private func timed(_ body: () throws -> Violation?) throws -> Violation? {
        var violation: Violation?
        let time = try ContinuousClock().measure { violation = try body() }
        #expect(time < .seconds(20))
        return violation
    }

    @Test("a hundred thousand items are told apart in linear time")
    func unique() throws {
        let schema = try SchemaFixture.schema(#"{"uniqueItems": true}"#)
        let numbers = try SchemaFixture.value("[" + SchemaFixture.list(100_000) { "\($0)" } + "]")
        #expect(try timed { schema.check(numbers) } == nil)
        let objects = try SchemaFixture.value("[" + SchemaFixture.list(100_000) { "{\"a\": [\($0)]}" } + ", {\"a\": [7.0]}]")
        #expect(try timed { schema.check(objects) }?.message == "must not have the same item twice, as items 7 and 100000 are")
    }

    @Test("alternatives that double with each level end with the budget, also under not")
    func doubling() throws {
        let levels = SchemaFixture.list(30) {
            "\"d\($0)\": {\"anyOf\": [{\"$ref\": \"#/$defs/d\($0 + 1)\"}, {\"$ref\": \"#/$defs/d\($0 + 1)\"}]}"
        }
        let defs = "\"$defs\": {\(levels), \"d30\": {\"type\": \"string\"}}"
        for rule in [##""$ref": "#/$defs/d0""##, ##""not": {"$ref": "#/$defs/d0"}"##, ##""if": {"$ref": "#/$defs/d0"}, "else": {}"##] {
            let schema = try SchemaFixture.schema("{\(defs), \(rule)}")
            #expect(try timed { schema.check(.null) }?.isTooCostly == true, "\(rule)")
        }
    }

    @Test("a pattern that would go on is refused, and never passes, whatever stands around it")
    func patterns() throws {
        let text = try SchemaFixture.value("\"" + String(repeating: "a", count: 5000) + "!\"")
        for schema in [
            #"{"pattern": "^(a+)+$"}"#, #"{"not": {"pattern": "^(a+)+$"}}"#, #"{"anyOf": [{"pattern": "^(a+)+$"}, {}]}"#,
            #"{"if": {"pattern": "^(a+)+$"}, "then": {}, "else": {}}"#, #"{"oneOf": [{"pattern": "^(a+)+$"}, true]}"#,
        ] {
            let schema = try SchemaFixture.schema(schema)
            let violation = try timed { schema.check(text) }
            #expect(violation?.isTooCostly == true)
            #expect(violation?.message == "is too costly to check: a pattern takes too long on one of its strings")
        }
        let names = try SchemaFixture.value("{" + SchemaFixture.list(10_000) { "\"\(String(repeating: "a", count: 100))\($0)!\": 1" } + "}")
        let schema = try SchemaFixture.schema(#"{"patternProperties": {"^(a+)+$": false}}"#)
        #expect(try timed { schema.check(names) }?.isTooCostly == true)
    }

    @Test("many rules over one long text end with the budget")
    func longText() throws {
        let text = JSONValue.string(JSONString(String(repeating: "a", count: 5_000_000)))
        for rule in [#"{"maxLength": 99999999}"#, #"{"not": {"enum": [1, "a"]}}"#, #"{"pattern": "^a"}"#] {
            let schema = try SchemaFixture.schema(#"{"allOf": ["# + SchemaFixture.list(4000) { _ in rule } + "]}")
            #expect(try timed { schema.check(text) }?.isTooCostly == true)
        }
    }

    @Test("what is nested as deeply as it may be is checked on a little stack, or refused")
    func nested() throws {
        let lists = try SchemaFixture.value(String(repeating: "[", count: 64) + String(repeating: "]", count: 64))
        let objects = try SchemaFixture.value(String(repeating: #"{"a":"#, count: 64) + "1" + String(repeating: "}", count: 64))
        let tree = try SchemaFixture.schema(
            ##"{"properties": {"a": {"oneOf": [{"type": "integer"}, {"if": {"type": "object"}, "then": {"$ref": "#"}, "else": false}]}}}"##)
        #expect(tree.check(objects) == nil)
        #expect(try SchemaFixture.schema(##"{"type": "array", "items": {"$ref": "#"}, "uniqueItems": true}"##).check(lists) == nil)
        let chain = SchemaFixture.list(40) { "\"d\($0)\": {\"$ref\": \"#/$defs/d\($0 + 1)\"}" }
        let deep = try SchemaFixture.schema("{\"$defs\": {\(chain), \"d40\": {\"items\": {\"$ref\": \"#\"}}}, \"$ref\": \"#/$defs/d0\"}")
        #expect(deep.check(lists)?.message == "is too costly to check: it is nested too deeply for this schema")
    }

    @Test("numbers with many digits are divided in no time")
    func numbers() throws {
        let item = String(repeating: "7", count: 1000) + "e400"
        let items = try SchemaFixture.value("[" + SchemaFixture.list(5000) { _ in item } + "]")
        let schema = try SchemaFixture.schema(#"{"items": {"multipleOf": 0.0000000000000007}}"#)
        #expect(try timed { schema.check(items) }.map { $0.isTooCostly } ?? true)
    }

    @Test("one schema serves many checks at once")
    func shared() async throws {
        let schema = try SchemaFixture.schema(#"{"items": {"pattern": "^(a|b)+[0-9]$"}, "uniqueItems": true}"#)
        await withTaskGroup(of: Bool.self) { group in
            for task in 0..<16 {
                group.addTask {
                    (0..<200).allSatisfy { round in
                        let isWrong = (task + round) % 3 == 0
                        let items = ["abab\(task % 10)", isWrong ? "abab" : "b\(round % 10)"].map { JSONValue.string(JSONString($0)) }
                        return (schema.check(.array(items))?.pointer == "/1") == isWrong
                    }
                }
            }
            for await isRight in group { #expect(isRight) }
        }
    }

    @Test("bytes by chance are parsed or refused")
    func chance() throws {
        var random = Chance(state: 5)
        let alphabet = Array(#"{}[]",:\u0 19.eE+-truefalsn"#.utf8) + [0, 0xc3, 0xa9, 0xff]
        let signs = Array(#"()[]{}^$.*+?|\abdpux0,-<=!:"#.utf8)
        let schema = try SchemaFixture.schema(#"{"uniqueItems": true, "minProperties": 1, "items": {"multipleOf": 0.1}}"#)
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...24, using: &random)).map { _ in alphabet.randomElement(using: &random)! }
            guard let value = try? JSONValue(bytes, atMost: 1000) else { continue }
            _ = schema.check(value)
        }
        for _ in 0..<20_000 {
            let letters = (0..<12).map { _ in signs.randomElement(using: &random)! }
            guard let pattern = try? Pattern(String(decoding: letters, as: UTF8.self)) else { continue }
            var work = 10_000
            _ = try #require(PatternMatcher()).finds(pattern, in: "abab-00{}", work: &work)
        }
    }
}
