import CasemateModel
import NIOCore
import NIOHTTP1
import Testing

@testable import CasemateInvoke

@Suite("What a call brings, held against schemas")
struct InputRulesTests {
    private static let object = #"{"type": "object", "required": ["a"], "properties": {"a": {"type": "number"}}}"#

    private func problem(
        _ schemas: InputSchemas, body: String = "", query: String = "", headers: HTTPHeaders = ["content-type": "application/json"]
    ) throws -> Problem? {
        let rules = try #require(InputRules(schemas))
        let input = try CallInput(
            InvokeFixture.incoming("team/fn", query: query, headers: headers), RequestBody(whole: ByteBuffer(string: body)))
        switch rules.refusal(of: input, within: .whatItTakes) {
        case .problem(let problem): return problem
        case .tooLong: throw Problem(.internalError, "it may take what it takes")
        case nil: return nil
        }
    }

    private func body(_ text: String = object) -> InputSchemas { InputSchemas(body: .init(path: "schema.json", text: text)) }
    private func query(_ text: String) -> InputSchemas { InputSchemas(query: .init(path: "query.json", text: text)) }

    @Test("a body's fault has its place", arguments: [(#"{"a": 1}"#, nil), (#"{"a": "1"}"#, "/a"), ("{}", ""), ("", ""), ("{", "")])
    func places(text: String, pointer: String?) throws {
        let found = try problem(body(), body: text)
        #expect(found?.pointer == pointer)
        #expect((found?.code, found?.reason) == (pointer == nil ? (nil, nil) : (.invalidInput, "body")))
    }

    @Test(
        "a body is JSON in UTF-8",
        arguments: [
            ("application/json", true), ("Application/JSON; charset=UTF-8", true), ("application/json;charset=\"utf-8\"", true),
            ("application/cloudevents+json", true), ("application/vnd.a+json ; v=1", true), ("application/json; charset=utf-16", false),
            ("application/json; charset=utf-8; charset=utf-7", false), ("text/json", false), ("application/jsonp", false),
            ("application/x-www-form-urlencoded", false), ("json", false), ("+json", false), ("/json", false), ("", false),
            ("a/b/json", false), ("application/json, text/plain", false),
            (#"application/json; profile="a;charset=utf-16""#, true), (#"application/json; profile="a\";charset=utf-16""#, true),
            ("application/json;", true), ("application/json; charset=\"utf-8", false), ("application/json;x=y charset=utf-16", false),
            ("application/json; charset", false), ("application/+json", false), ("a b/c+json", false),
            ("application/json;charset = utf-8", false),
        ])
    func mediaTypes(type: String, isTaken: Bool) throws {
        let found = try problem(body(), body: #"{"a": 1}"#, headers: ["content-type": type])
        #expect(found?.code == (isTaken ? nil : .unsupportedMediaType))
    }

    @Test("two media types, none, and a compressed body are refused")
    func ambiguous() throws {
        let twice: HTTPHeaders = ["content-type": "application/json", "Content-Type": "application/json"]
        #expect(try problem(body(), body: #"{"a": 1}"#, headers: twice)?.code == .unsupportedMediaType)
        #expect(try problem(body(), body: #"{"a": 1}"#, headers: [:])?.code == .unsupportedMediaType)
        let packed: HTTPHeaders = ["content-type": "application/json", "content-encoding": "gzip"]
        #expect(try problem(body(), body: #"{"a": 1}"#, headers: packed)?.code == .unsupportedMediaType)
        let plain: HTTPHeaders = ["content-type": "application/json", "content-encoding": "identity"]
        #expect(try problem(body(), body: #"{"a": 1}"#, headers: plain) == nil)
    }

    @Test(
        "a query is read as a form",
        arguments: [
            ("a=b+c", #"{"a": "b c"}"#), ("a=%2B", #"{"a": "+"}"#), ("a=1&a=2", #"{"a": ["1", "2"]}"#), ("a", #"{"a": ""}"#),
            ("a=b=c", #"{"a": "b=c"}"#), ("&&a=1&", #"{"a": "1"}"#), ("%61=1", #"{"a": "1"}"#), ("", "{}"), ("=1", #"{"": "1"}"#),
        ])
    func queries(text: String, meaning: String) throws { #expect(try problem(query(#"{"const": \#(meaning)}"#), query: text) == nil) }

    @Test("a query that is none is refused", arguments: ["a=%", "a=%4", "a=%zz", "a=%ff", "%=1"])
    func broken(text: String) throws {
        let found = try problem(query("true"), query: text)
        #expect((found?.code, found?.reason, found?.pointer) == (.invalidInput, "query", ""))
    }

    @Test("header fields are texts by their names in lower case")
    func fields() throws {
        let schemas = InputSchemas(
            headers: .init(path: "h.json", text: #"{"required": ["x-a"], "properties": {"x-a": {"const": ["1", "2"]}}}"#))
        #expect(try problem(schemas, headers: ["X-A": "1", "x-a": "2"]) == nil)
        #expect(try problem(schemas, headers: ["X-A": "1"])?.pointer == "/x-a")
        #expect(try problem(schemas, headers: [:])?.reason == "headers")
    }

    @Test("what takes long is not decided at once")
    func budget() throws {
        let rules = try #require(InputRules(body()))
        let call = InvokeFixture.incoming("team/fn", headers: ["content-type": "application/json"])
        let long = String(repeating: " ", count: InputRules.Budget.atOnce.bytes)
        let input = try CallInput(call, RequestBody(whole: ByteBuffer(string: long + #"{"a": 1}"#)))
        guard case .tooLong? = rules.refusal(of: input, within: .atOnce) else { throw Problem(.internalError, "decided") }
        guard rules.refusal(of: input, within: .whatItTakes) == nil else { throw Problem(.internalError, "refused") }
    }

    @Test("a text that is no schema has no rules, and a body in part is no input")
    func nothing() throws {
        #expect(InputRules(body("{")) == nil)
        #expect(InputRules(InputSchemas(body: .init(path: "schema.json"))) == nil)
        let part = RequestBody(start: ByteBuffer(string: "{"), length: 2) { _ in }
        #expect(throws: Problem(.unavailable, "")) { try CallInput(InvokeFixture.incoming("team/fn"), part) }
    }
}
