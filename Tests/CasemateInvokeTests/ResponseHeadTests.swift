import CasemateModel
import NIOHTTP1
import Testing

@testable import CasemateInvoke

@Suite("Status and header fields of a response")
struct ResponseHeadTests {
    private func head(_ status: Int = 200, _ headers: [(String, String)] = []) throws -> ResponseHead {
        try ResponseHead(
            InvokeFixture.reply("", status: status, headers: headers), call: InvokeFixture.call, redactor: InvokeFixture.redactor())
    }

    @Test("a status from 200 to 599 is one", arguments: [200, 204, 299, 302, 404, 418, 500, 599])
    func status(status: Int) throws { #expect(try head(status).status.code == UInt(status)) }

    @Test("any other is none", arguments: [-1, 0, 1, 99, 100, 101, 199, 600, 999, 65_535])
    func noStatus(status: Int) {
        let problem = #expect(throws: Problem.self) { try head(status) }
        #expect(problem?.code == .badResult)
    }

    @Test(
        "a field with a character that HTTP forbids is refused",
        arguments: [
            ("", "v"), ("a b", "v"), ("a:", "v"), ("a\r\nb", "v"), ("a\0", "v"), ("ä", "v"), ("a(", "v"), ("\"a\"", "v"),
            ("a", "v\r\nset-cookie: x"),
            ("a", "v\n"), ("a", "v\r"), ("a", "v\0"), ("a", "\u{7f}"), ("a", "\u{1b}[2J"),
        ])
    func characters(name: String, value: String) {
        let problem = #expect(throws: Problem.self) { try head(200, [(name, value)]) }
        #expect(problem?.code == .badResult)
    }

    @Test("a field that HTTP allows passes", arguments: [("x-a", ""), ("X-A", "v"), ("a!#$%&'*+-.^_`|~9", "tab\there"), ("x", "größer")])
    func passes(name: String, value: String) throws { #expect(try head(200, [(name, value)]).headers[name] == [value]) }

    @Test(
        "fields that are the gateway's are dropped",
        arguments: [
            "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer",
            "Transfer-Encoding",
            "Upgrade", "Content-Length", "Date", "Server", "Strict-Transport-Security", "Alt-Svc", "Casemate-Call-Id", "casemate-anything",
        ])
    func dropped(name: String) throws {
        let head = try head(200, [(name, "forged"), ("X-Kept", "1")])
        #expect(!head.headers.contains { $0.value == "forged" })
        #expect(head.headers["x-kept"] == ["1"])
        #expect(head.headers["casemate-call-id"] == [InvokeFixture.call.text])
    }

    @Test("fields of one name stay several")
    func several() throws {
        #expect(try head(200, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]).headers["set-cookie"] == ["a=1", "b=2"])
    }

    @Test("a secret in a value is replaced")
    func secretInValue() throws {
        let head = try head(302, [("Location", "https://x/?k=hunter2-hunter2&y"), ("X", "hunter2-hunter2")])
        #expect(head.headers["location"] == ["https://x/?k=[secret:DB_URL]&y"])
        #expect(head.headers["x"] == ["[secret:DB_URL]"])
        #expect(head.hits == 2)
    }

    @Test("a secret in a name blocks the response")
    func secretInName() {
        let problem = #expect(throws: Problem.self) { try head(200, [("x-hunter2-hunter2", "v")]) }
        #expect(problem?.code == .secretInResponse)
        #expect(problem?.detail.contains("hunter2") == false)
    }

    @Test("more than 128 fields are refused")
    func count() throws {
        _ = try head(200, (0..<128).map { ("x-\($0)", "v") })
        #expect(throws: Problem.self) { try head(200, (0..<129).map { ("x-\($0)", "v") }) }
    }
}
