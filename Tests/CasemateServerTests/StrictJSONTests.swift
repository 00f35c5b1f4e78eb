import CasemateModel
import Foundation
import Testing

@testable import CasemateServer

@Suite("Request bodies")
struct StrictJSONTests {
    private func token(_ text: String) throws -> NewToken { try StrictJSON.decode(Array(text.utf8)) }

    private func fault(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) -> String {
        let problem = #expect(throws: Problem.self, "\(text.prefix(80))", sourceLocation: sourceLocation) { try token(text) }
        return problem?.detail ?? ""
    }

    @Test("known fields decode, missing ones that may be missing too")
    func decodes() throws {
        let body = try token(#"{"function": "resize", "expiresInDays": 7}"#)
        #expect(body.function?.text == "resize" && body.expiresInDays == 7 && body.description == nil)
        #expect(try token("{}").function == nil)
        #expect(try token(#"{"description": null}"#).description == nil)
    }

    @Test("an unknown field is named, with those that are known")
    func unknown() {
        let text = fault(#"{"function": "resize", "expires": 7}"#)
        #expect(text.contains("\"expires\""))
        #expect(text.contains("description, expiresInDays, function"))
        #expect(fault(#"{"Function": "resize"}"#).contains("\"Function\""))
        #expect(fault("{\"\(String(repeating: "x", count: 1000))\": 1}").count < 200)
    }

    @Test("a missing field is named")
    func missing() {
        let problem = #expect(throws: Problem.self) { () throws in
            let _: NewDeployment = try StrictJSON.decode(Array(#"{"sources": {}}"#.utf8))
        }
        #expect(problem?.detail == "field \"manifest\" is missing")
    }

    @Test("a wrong type names the field as it is written, and not what stood in it")
    func wrongType() {
        let text = fault(#"{"expiresInDays": "hunter2"}"#)
        #expect(text.contains("\"expiresInDays\""))
        #expect(!text.contains("hunter2"))
        #expect(fault(#"{"description": 5}"#).contains("\"description\""))
        #expect(!fault(#"{"expiresInDays": 1.5}"#).isEmpty)
        #expect(!fault(#"{"expiresInDays": 1e99}"#).isEmpty)
    }

    @Test("a name that breaks its rule is a problem of names")
    func names() {
        let problem = #expect(throws: Problem.self) { try token(#"{"function": "No!"}"#) }
        #expect(problem?.code == .invalidName)
    }

    @Test(
        "what is no JSON object is refused",
        arguments: [
            "", " ", "null", "1", "\"x\"", "[]", "[{}]", "{", "{}}", "{\"a\"}", "{'function': 'x'}", "\u{0}", "{\"function\": \"x\",,}",
        ])
    func noObject(text: String) { #expect(!fault(text).isEmpty) }

    @Test("nesting over 64 is refused before it is parsed; brackets in strings don't count")
    func depth() throws {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let text = "{\"description\": " + String(repeating: open, count: 64) + "1" + String(repeating: close, count: 64) + "}"
            #expect(fault(text).contains("nested"))
            let deep = String(repeating: open, count: 100_000)
            #expect(fault("{\"description\": " + deep + "1" + String(repeating: close, count: 100_000) + "}").contains("nested"))
            #expect(!fault("{\"description\": " + deep).isEmpty)
            let shallow = "{\"description\": " + String(repeating: open, count: 63) + "1" + String(repeating: close, count: 63) + "}"
            #expect(!fault(shallow).contains("nested"))
        }
        let brackets = String(repeating: "[", count: 100) + "\\\"" + String(repeating: "{", count: 100)
        #expect(try token("{\"description\": \"\(brackets)\"}").description?.count == 201)
    }

    @Test(
        "JSON in another encoding than UTF-8 is refused",
        arguments: [String.Encoding.utf16LittleEndian, .utf16BigEndian, .utf32LittleEndian])
    func encoding(encoding: String.Encoding) throws {
        let bytes = [UInt8](try #require(#"{"function": "resize"}"#.data(using: encoding)))
        let problem = #expect(throws: Problem.self) { () throws in
            let _: NewToken = try StrictJSON.decode(bytes)
        }
        #expect(problem?.code == .invalidRequest)
    }

    @Test("a body over 16 MiB is refused")
    func size() {
        let problem = #expect(throws: Problem.self) { () throws in
            let _: NewToken = try StrictJSON.decode([UInt8](repeating: 32, count: (16 << 20) + 1))
        }
        #expect(problem?.code == .tooLarge)
    }
}
