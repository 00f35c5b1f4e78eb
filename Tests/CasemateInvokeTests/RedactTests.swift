import CasemateModel
import CasemateVault
import Foundation
import NIOCore
import NIOHTTP1
import Testing

@testable import CasemateInvoke

@Suite("What leaves of a response")
struct RedactTests {
    private let redact = Redact(redactor: InvokeFixture.redactor(), hasSecrets: true)
    private let bare = Redact(redactor: InvokeFixture.redactor([:]), hasSecrets: false)

    private func answer(_ reply: Reply, _ redact: Redact? = nil) throws -> RedactedReply {
        try (redact ?? self.redact)(reply, of: InvokeFixture.call)
    }

    private func expectBlocked(_ reply: Reply, _ what: Comment? = nil) {
        let problem = #expect(throws: Problem.self, what) { try answer(reply) }
        #expect(problem?.code == .secretInResponse, what)
        #expect(problem?.detail.contains("hunter2") == false, what)
    }

    @Test("a response without a secret leaves as it is, binary or not")
    func clean() throws {
        for body in [[], Array("größer".utf8), [0, 1, 2, 255, 0x89]] as [[UInt8]] {
            let reply = try answer(InvokeFixture.reply(body, status: 404))
            #expect(Array(reply.body.readableBytesView) == body)
            #expect(reply.status == .notFound && reply.hits == 0)
        }
    }

    @Test("a secret in a text is replaced, each time")
    func text() throws {
        let reply = try answer(InvokeFixture.reply("a hunter2-hunter2 b hunter2-hunter2\n"))
        #expect(String(buffer: reply.body) == "a [secret:DB_URL] b [secret:DB_URL]\n")
        #expect(reply.hits == 2)
    }

    @Test("the caller's own token is replaced")
    func token() throws {
        let redact = Redact(redactor: InvokeFixture.redactor(token: "cmt_callers-own-token"), hasSecrets: true)
        let reply = try answer(InvokeFixture.reply("you sent cmt_callers-own-token"), redact)
        #expect(String(buffer: reply.body) == "you sent [token]")
    }

    /// A function without secrets, called with a token.
    private let tokenOnly = Redact(redactor: InvokeFixture.redactor([:], token: "hunter2-hunter2"), hasSecrets: false)

    @Test("without secrets the caller's token is still looked for inside gzip, but what can't be looked into passes")
    func tokenInside() throws {
        let gzip = InvokeFixture.reply(CompressedSamples.withSecret[0].bytes, headers: [("Content-Encoding", "gzip")])
        let problem = #expect(throws: Problem.self) { try answer(gzip, tokenOnly) }
        #expect(problem?.code == .secretInResponse)
        for encoding in ["br", "gzip"] {
            let opaque = InvokeFixture.reply([1, 2, 3, 4, 5, 6], headers: [("Content-Encoding", encoding)])
            #expect(try answer(opaque, tokenOnly).body.readableBytes == 6)
        }
    }

    @Test("a secret in a body that is no text blocks the response")
    func binary() {
        expectBlocked(InvokeFixture.reply(Array("hunter2-hunter2".utf8) + [0]), "a NUL")
        expectBlocked(InvokeFixture.reply([0x89, 0xff, 0xfe] + Array("hunter2-hunter2".utf8) + [0xff, 32, 32, 32, 32]), "not UTF-8")
    }

    @Test("a secret in gzip, zlib or raw deflate blocks the response", arguments: CompressedSamples.withSecret)
    func compressed(sample: CompressedSamples.Sample) {
        expectBlocked(InvokeFixture.reply(sample.bytes, headers: [("Content-Encoding", sample.encoding)]), "\(sample.encoding)")
        expectBlocked(
            InvokeFixture.reply(sample.bytes, headers: [("content-encoding", sample.encoding.uppercased())]), "\(sample.encoding)")
    }

    @Test("gzip is looked into also when the response does not say that it is gzip")
    func undeclared() {
        expectBlocked(InvokeFixture.reply(CompressedSamples.withSecret[0].bytes))
        expectBlocked(InvokeFixture.reply(CompressedSamples.withSecret[0].bytes, headers: [("Content-Encoding", "identity")]))
        expectBlocked(InvokeFixture.reply(CompressedSamples.withSecret[0].bytes, headers: [("Content-Type", "application/gzip")]))
    }

    @Test("gzip without a secret leaves as it is")
    func gzipClean() throws {
        let sample = CompressedSamples.clean
        let reply = try answer(InvokeFixture.reply(sample.bytes, headers: [("Content-Encoding", "gzip")]))
        #expect(Array(reply.body.readableBytesView) == sample.bytes)
        #expect(reply.headers["content-encoding"] == ["gzip"])
    }

    @Test(
        "an encoding that can't be looked into is blocked for a function with secrets, and passes for one without",
        arguments: ["br", "zstd", "compress", "gzip, br", "x"])
    func opaque(encoding: String) throws {
        let reply = InvokeFixture.reply([1, 2, 3, 4, 5, 6], headers: [("Content-Encoding", encoding)])
        expectBlocked(reply)
        #expect(try answer(reply, bare).body.readableBytes == 6)
    }

    @Test("an encoding that can't be looked into is blocked also when it is the second field of that name")
    func twoEncodings() {
        expectBlocked(InvokeFixture.reply([1, 2, 3, 4, 5, 6], headers: [("Content-Encoding", "identity"), ("Content-Encoding", "br")]))
    }

    @Test("what says gzip and is none is blocked")
    func broken() {
        expectBlocked(InvokeFixture.reply("not gzip at all", headers: [("Content-Encoding", "gzip")]))
        expectBlocked(InvokeFixture.reply(CompressedSamples.clean.bytes + Array("hunter2".utf8), headers: [("Content-Encoding", "gzip")]))
    }

    @Test("a response without a body may name an encoding")
    func emptyEncoded() throws {
        let reply = try answer(InvokeFixture.reply("", status: 304, headers: [("Content-Encoding", "gzip")]))
        #expect(reply.status == .notModified)
    }

    @Test("text is UTF-8 without NUL, whole or cut at its end")
    func isText() {
        for cut in 0...3 { #expect(Redact.isText(ByteBuffer(bytes: Array("text 😀".utf8).dropLast(cut)))) }
        #expect(Redact.isText(ByteBuffer()))
        for bytes in [[0], [97, 0, 97], [0xff, 97, 97, 97, 97], Array("caf".utf8) + [0xe9] + Array(" au lait".utf8)] as [[UInt8]] {
            #expect(!Redact.isText(ByteBuffer(bytes: bytes)))
        }
    }

    @Test("a problem that quotes a secret is redacted")
    func problem() throws {
        let reply = redact.problem(Problem(.invalidRequest, "got hunter2-hunter2", retryAfterSeconds: 3), of: InvokeFixture.call)
        #expect(!String(buffer: reply.body).contains("hunter2"))
        #expect(String(buffer: reply.body).contains("[secret:DB_URL]"))
        #expect(reply.status.code == 400)
        #expect(reply.headers["retry-after"] == ["3"])
        #expect(reply.headers["content-type"] == ["application/problem+json"])
        #expect(reply.headers["casemate-call-id"] == [InvokeFixture.call.text])
    }

    @Test("a refusal for want of a credential names the scheme")
    func unauthenticated() {
        let reply = Redact.refusal(Problem(.unauthenticated, "no"), of: InvokeFixture.call)
        #expect(reply.status == .unauthorized)
        #expect(reply.headers["www-authenticate"] == ["Bearer realm=\"casemate\""])
        #expect(Redact.refusal(Problem(.notFound, "no"), of: InvokeFixture.call).headers["www-authenticate"].isEmpty)
    }
}
