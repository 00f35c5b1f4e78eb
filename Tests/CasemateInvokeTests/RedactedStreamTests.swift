import CasemateModel
import NIOCore
import Testing

@testable import CasemateInvoke

@Suite("Responses that are redacted as they pass")
struct RedactedStreamTests {
    private let redact = Redact(redactor: InvokeFixture.redactor(), hasSecrets: true)

    private func stream(_ start: [UInt8], _ redact: Redact? = nil, headers: [(String, String)] = []) throws -> RedactedStream {
        try (redact ?? self.redact).stream(
            InvokeFixture.reply([], headers: headers), start: ByteBuffer(bytes: start), of: InvokeFixture.call)
    }

    /// Everything that leaves of these pieces; nil once the response was cut off.
    private func passed(_ pieces: [[UInt8]], _ stream: RedactedStream) -> [UInt8]? {
        var out: [UInt8] = []
        for piece in pieces {
            guard let part = stream.push(ByteBuffer(bytes: piece)) else { return nil }
            out += Array(part.readableBytesView)
        }
        guard let last = stream.finish() else { return nil }
        return out + Array(last.readableBytesView)
    }

    private let text = Array("begin hunter2-hunter2 middle hunter2-hunter2 end".utf8)
    private let clean = "begin [secret:DB_URL] middle [secret:DB_URL] end"

    @Test("secrets in a text are replaced on the fly, wherever it is cut")
    func onTheFly() throws {
        for cut in 0...text.count {
            let stream = try stream(text)
            let out = try #require(passed([Array(text[..<cut]), Array(text[cut...])], stream))
            #expect(String(decoding: out, as: UTF8.self) == clean, "cut at \(cut)")
            #expect(stream.hits == 2)
        }
        #expect(passed(text.map { [$0] }, try stream(text)).map { String(decoding: $0, as: UTF8.self) } == clean)
    }

    @Test("a secret in a body that is no text cuts the response off")
    func binary() throws {
        let start: [UInt8] = [0, 1, 2, 3]
        #expect(passed([start, text, start], try stream(start)) == nil)
        #expect(passed([start, Array("hunter2-".utf8), Array("hunter2".utf8)], try stream(start)) == nil)
        let bytes: [UInt8] = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        #expect(passed([start, bytes], try stream(start)) == start + bytes)
    }

    @Test("nothing of a secret leaves before the response is cut off")
    func binaryPrefix() throws {
        let stream = try stream([0])
        var out: [UInt8] = []
        for byte in [0] + Array("hunter2-hunter2".utf8) + [1, 2] {
            guard let part = stream.push(ByteBuffer(bytes: [byte])) else { break }
            out += Array(part.readableBytesView)
        }
        #expect(out == [0])
    }

    @Test("a compressed response can't be looked into as it passes")
    func compressed() {
        for headers in [[("content-encoding", "gzip")], [("content-encoding", "br")]] {
            let problem = #expect(throws: Problem.self) { try stream([1, 2, 3], headers: headers) }
            #expect(problem?.code == .secretInResponse)
        }
        #expect(throws: Problem.self) { try stream([0x1f, 0x8b, 8, 0]) }
    }

    @Test("a function without secrets streams anything as it is")
    func bare() throws {
        let bare = Redact(redactor: InvokeFixture.redactor([:]), hasSecrets: false)
        let bytes: [UInt8] = [0x1f, 0x8b] + text
        #expect(passed([bytes], try stream(bytes, bare, headers: [("content-encoding", "gzip")])) == bytes)
    }

    @Test("a head that is no response does not begin a stream")
    func head() {
        #expect(throws: Problem.self) { try stream(text, headers: [("a b", "c")]) }
    }
}
