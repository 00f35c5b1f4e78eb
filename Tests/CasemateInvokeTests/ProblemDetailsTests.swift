import CasemateModel
import Foundation
import Testing

@testable import CasemateInvoke

@Suite("Problem details on the call path")
struct ProblemDetailsTests {
    private func parsed(_ problem: Problem) throws -> [String: Any] {
        let text = ProblemDetails.json(problem, instance: InvokeFixture.call)
        return try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test("the members are RFC 9457's, and the call's id")
    func members() throws {
        let json = try parsed(Problem(.functionCrashed, "it ended", reason: "out-of-memory"))
        #expect(json["type"] as? String == "/problems/function-crashed")
        #expect(json["title"] as? String == "The function's sandbox ended")
        #expect(json["status"] as? Int == 502)
        #expect(json["detail"] as? String == "it ended")
        #expect(json["instance"] as? String == "urn:uuid:\(InvokeFixture.call)")
        #expect(json["callId"] as? String == InvokeFixture.call.text)
        #expect(json["reason"] as? String == "out-of-memory")
        #expect(try parsed(Problem(.notFound, "x"))["reason"] == nil)
    }

    @Test("every code makes JSON", arguments: Problem.Code.all)
    func codes(code: Problem.Code) throws { #expect(try parsed(Problem(code, "x"))["status"] as? Int == code.status) }

    @Test(
        "any text comes out as it went in",
        arguments: [
            "", "\"", "\\", "\\\"", "a\nb", "\r\t\u{8}\u{c}", "\0", "\u{1}\u{1f}\u{7f}", "größer 😀", "\u{2028}\u{2029}", "</script>",
            "\\u0041", "e\u{301}", "\r\n",
        ])
    func escapes(text: String) throws {
        let json = try parsed(Problem(.invalidRequest, text, reason: text))
        #expect(try Array(#require(json["detail"] as? String).unicodeScalars) == Array(text.unicodeScalars))
        #expect(try Array(#require(json["reason"] as? String).unicodeScalars) == Array(text.unicodeScalars))
    }

    @Test("every character below 128 comes out as it went in")
    func ascii() throws {
        let text = String(decoding: Array(0..<128) as [UInt8], as: UTF8.self)
        #expect(try parsed(Problem(.invalidRequest, text))["detail"] as? String == text)
    }
}
