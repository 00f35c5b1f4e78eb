import CasemateIdentity
import CasemateModel
import NIOCore
import NIOHTTP1
import Testing

@testable import CasemateInvoke

@Suite("Calls that nobody waits for")
struct AsyncWishTests {
    @Test(
        "the preference is found as RFC 7240 writes it",
        arguments: ["respond-async", "Respond-Async", "wait=10, respond-async", "respond-async; x=1", " respond-async "])
    func preferred(text: String) throws { #expect(try AsyncWish(["prefer": text]) != nil) }

    @Test("nothing else is taken for it", arguments: ["wait=10", "return=minimal", "respond-asynchronously", "x-respond-async", ""])
    func other(text: String) throws { #expect(try AsyncWish(["prefer": text]) == nil) }

    @Test("keys are texts, with or without quotes")
    func keys() throws {
        let wish = try AsyncWish(["prefer": "respond-async", "idempotency-key": "\"a-b\"", "casemate-key": "order-7"])
        #expect(wish == AsyncWish(orderKey: "order-7", idempotencyKey: "a-b"))
    }

    @Test("a key that is none is refused", arguments: ["", "\"\"", "a b", "ä", "a\tb", String(repeating: "x", count: 257)])
    func wrong(key: String) {
        for name in ["idempotency-key", "casemate-key"] {
            #expect(throws: Problem(.invalidRequest, "")) { try AsyncWish(["prefer": "respond-async", name: key]) }
        }
        #expect(throws: Problem(.invalidRequest, "")) {
            try AsyncWish(
                [("prefer", "respond-async"), ("casemate-key", "a"), ("casemate-key", "a")].reduce(into: HTTPHeaders()) {
                    $0.add(name: $1.0, value: $1.1)
                })
        }
    }

    @Test("a stored request is what it was, and what is none is none")
    func request() throws {
        let request = QueuedRequest(
            caller: QueuedCaller(.function(FunctionId(), FunctionName("plant/ingest")!)), method: .PUT, path: "/a/b", query: "c=d",
            headers: ["x-one": "1", "x-two": ""], body: ByteBuffer(bytes: Array(0...255)), depth: 3)
        let encoded = request.encoded
        let decoded = try #require(QueuedRequest(encoded: encoded))
        #expect(decoded.caller == request.caller && decoded.method == .PUT && decoded.path == "/a/b" && decoded.query == "c=d")
        #expect(decoded.headers == request.headers && decoded.body == request.body && decoded.depth == 3)
        for length in 0..<encoded.count where length % 7 == 0 || length < 40 {
            #expect(QueuedRequest(encoded: Array(encoded.prefix(length))) == nil)
        }
        #expect(QueuedRequest(encoded: encoded + [0]) == nil)
        #expect(QueuedRequest(encoded: [2] + encoded.dropFirst()) == nil)
    }

    @Test("a stored result is what it was")
    func result() throws {
        let result = QueuedResult(status: 418, headers: ["content-type": "x/y"], body: ByteBuffer(bytes: [0, 255]))
        let decoded = try #require(QueuedResult(encoded: result.encoded))
        #expect(decoded.status == 418 && decoded.headers == result.headers && decoded.body == result.body)
        #expect(QueuedResult(encoded: Array(result.encoded.dropLast())) == nil)
    }

    @Test("questions about calls have one form")
    func inquiries() throws {
        let id = CallId()
        #expect(try CallInquiry("/f/a/b") == nil)
        #expect(try CallInquiry("/calls/\(id)")?.wantsResult == false)
        #expect(try CallInquiry("/calls/\(id)/result?wait=60")?.wait == 60)
        for wrong in ["/calls/", "/calls/x", "/calls/\(id)/", "/calls/\(id)/other", "/calls/\(id)/result/x"] {
            #expect(throws: Problem(.notFound, "")) { try CallInquiry(wrong) }
        }
        for wrong in ["wait=61", "wait=-1", "wait=", "x=1", ""] {
            #expect(throws: Problem(.invalidRequest, "")) { try CallInquiry("/calls/\(id)?\(wrong)") }
        }
    }
}
