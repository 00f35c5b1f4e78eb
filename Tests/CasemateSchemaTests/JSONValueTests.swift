import Testing

@testable import CasemateSchema

@Suite("JSON as JSON Schema sees it")
struct JSONValueTests {
    @Test(
        "the same value in two spellings",
        arguments: [
            ("1", "1.0"), ("1", "10e-1"), ("-0", "0.0"), ("0e400", "0"), ("100", "1E+2"), ("0.1", "0.10"),
            ("123456789012345678901234567890", "123456789012345678901234567890.000"), ("1e400", "10e399"), (#""A""#, #""\u0041""#),
            (#""/""#, #""\/""#), (#""😀""#, #""\ud83d\uDE00""#), ("[1, 2]", " [ 1.0 ,\t2 ]\r\n"),
            (#"{"a": 1, "b": [true]}"#, #"{"b": [true], "\u0061": 1.0}"#),
            (#""\b\f\n\r\t\"\\""#, #""\u0008\u000c\u000a\u000d\u0009\u0022\u005c""#),
        ])
    func equal(left: String, right: String) throws {
        let (left, right) = (try SchemaFixture.value(left), try SchemaFixture.value(right))
        #expect(left == right)
        #expect(left.hashValue == right.hashValue)
    }

    @Test(
        "two values that some take for one",
        arguments: [
            ("1", "true"), ("0", "false"), ("0", "null"), (#""1""#, "1"), ("[]", "{}"), ("9007199254740992", "9007199254740993"),
            ("0.1", "0.1000000000000000055511151231257827"), ("1e-400", "0"), (#""é""#, #""e\u0301""#), (#"{"é": 1}"#, #"{"e\u0301": 1}"#),
            ("[1, 2]", "[2, 1]"), (#"{"a": 1}"#, #"{"a": 1, "b": 1}"#), ("123456789012345678901", "123456789012345678902"),
        ])
    func different(left: String, right: String) throws {
        #expect(try SchemaFixture.value(left) != SchemaFixture.value(right))
    }

    @Test("an object of many members is found by name, in the order in which it was written")
    func manyMembers() throws {
        let text = "{" + SchemaFixture.list(100) { "\"k\($0)\": \($0)" } + "}"
        guard case .object(let object) = try SchemaFixture.value(text) else { return #expect(Bool(false)) }
        #expect(object.members.map(\.name.text) == (0..<100).map { "k\($0)" })
        #expect(object["k57"] == (try SchemaFixture.value("57")))
        #expect(object["k100"] == nil)
    }

    @Test(
        "what is no JSON, or means two things",
        arguments: [
            "", " ", "[1,]", "[1 2]", "[", "]", "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "{\"a\"}", "'a'", "01", "-", "1.", ".5", "+1", "1e",
            "1e+", "0x10", "NaN", "nul", "nulll", "True", "1 2", "\"a", "\"\\", "\"\\u12", "\"\\x41\"", "\"\\u12g4\"", "\"a\nb\"",
            "\"a\u{0}b\"", "1\u{0}", "\"\\ud800\"", "\"\\ud800x\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\u{feff}1", "{\"a\":1,\"a\":1}",
            "{\"a\":1,\"\\u0061\":1}", "// no\n1",
        ])
    func refused(text: String) {
        #expect(throws: JSONFault.self) { try SchemaFixture.value(text) }
    }

    @Test(
        "bytes that are not UTF-8",
        arguments: [[0x22, 0xff, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0x22, 0xc0, 0x80, 0x22], [0xfe, 0xff]])
    func encoding(bytes: [UInt8]) {
        #expect(throws: JSONFault(offset: 0, what: "is not UTF-8")) { try JSONValue(bytes, atMost: 100) }
    }

    @Test("a document is bounded in its bytes, its depth and its number of values")
    func bounded() throws {
        #expect(throws: JSONFault(offset: 2, what: "has more than 2 bytes")) { try JSONValue(Array("123".utf8), atMost: 2) }
        func nested(_ depth: Int) -> String { String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
        #expect(throws: Never.self) { try SchemaFixture.value(nested(64)) }
        #expect(throws: JSONFault(offset: 64, what: "is nested more than 64 deep")) { try SchemaFixture.value(nested(65)) }
        #expect(throws: JSONFault(offset: 64, what: "is nested more than 64 deep")) {
            try SchemaFixture.value(String(repeating: "[", count: 1_000_000))
        }
        let fault = #expect(throws: JSONFault.self) { try SchemaFixture.value("[" + SchemaFixture.list(1_000_000) { _ in "1" } + "]") }
        #expect(fault?.what == "has more than 1000000 values")
    }

    @Test("a fault quotes nothing")
    func quiet() {
        let fault = #expect(throws: JSONFault.self) { try SchemaFixture.value(#"{"password": "hunter2" "x": 1}"#) }
        #expect(fault?.description == "lacks a comma or a bracket, at byte 23")
    }
}
