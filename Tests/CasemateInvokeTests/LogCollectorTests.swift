import CasemateModel
import NIOCore
import Testing

@testable import CasemateInvoke

@Suite("Lines from what a function prints")
struct LogCollectorTests {
    private let time = Timestamp(milliseconds: 5)

    /// The lines of these writes of one call.
    private func lines(_ writes: [[UInt8]], _ collector: inout LogCollector) -> [LogLine] {
        var lines: [LogLine] = []
        for write in writes { collector.take(ByteBuffer(bytes: write), at: time, call: InvokeFixture.call, into: &lines) }
        collector.finish(at: time, call: InvokeFixture.call, into: &lines)
        return lines
    }

    private func texts(_ writes: [String], redacting: Bool = true) -> [String] {
        var collector = LogCollector(stream: .output, redactor: InvokeFixture.redactor(redacting ? ["DB_URL": "hunter2-hunter2"] : [:]))
        return lines(writes.map { Array($0.utf8) }, &collector).map { String(decoding: $0.message, as: UTF8.self) }
    }

    @Test("each line feed ends a line, and the end of the call ends the last")
    func cut() {
        #expect(texts(["a\nb\n\nc"]) == ["a", "b", "", "c"])
        #expect(texts(["a\n"]) == ["a"])
        #expect(texts([]) == [])
        #expect(texts([""]) == [])
        #expect(texts(["\n"]) == [""])
    }

    @Test("a line that comes in several writes is one line")
    func writes() {
        #expect(texts(["he", "llo", " wor", "ld\nnext"]) == ["hello world", "next"])
    }

    @Test("a line has its stream, call and time")
    func attributes() {
        var collector = LogCollector(stream: .error, redactor: InvokeFixture.redactor())
        #expect(
            lines([Array("x\n".utf8)], &collector) == [
                LogLine(time: time, stream: .error, call: InvokeFixture.call, message: Array("x".utf8))
            ])
    }

    @Test("a secret is replaced, however it is cut across writes")
    func secret() {
        let text = "before hunter2-hunter2 after\nnext"
        for cut in 0...text.utf8.count {
            let pieces = [
                String(decoding: text.utf8.prefix(cut), as: UTF8.self), String(decoding: text.utf8.dropFirst(cut), as: UTF8.self),
            ]
            #expect(texts(pieces) == ["before [secret:DB_URL] after", "next"], "cut at \(cut)")
        }
        #expect(texts(text.map { String($0) }) == ["before [secret:DB_URL] after", "next"])
    }

    @Test("nothing that a call printed is held back to the next")
    func calls() {
        var collector = LogCollector(stream: .output, redactor: InvokeFixture.redactor())
        #expect(lines([Array("ends with hunter2-hun".utf8)], &collector).map(\.message) == [Array("ends with hunter2-hun".utf8)])
        #expect(lines([Array("ter2\n".utf8)], &collector).map(\.message) == [Array("ter2".utf8)])
    }

    @Test("from the next call on a collector looks for what it is told")
    func use() {
        var collector = LogCollector(stream: .output, redactor: InvokeFixture.redactor([:]))
        #expect(lines([Array("cmt_callers-token".utf8)], &collector).map(\.message) == [Array("cmt_callers-token".utf8)])
        collector.use(CallRedactor(InvokeFixture.redactor([:], token: "cmt_callers-token")))
        #expect(lines([Array("cmt_callers-token".utf8)], &collector).map(\.message) == [Array("[token]".utf8)])
    }

    @Test("a long line is cut at 16,384 bytes and goes on in the next, nothing lost", arguments: [16_383, 16_384, 16_385, 32_768, 40_000])
    func long(count: Int) {
        let text = (0..<count).map { UInt8(97 + $0 % 26) }
        for writes in [
            [text + [10]], [text], [Array(text[..<100]), Array(text[100...])],
            stride(from: 0, to: count, by: 1000).map { Array(text[$0..<min($0 + 1000, count)]) },
        ] {
            var collector = LogCollector(stream: .output, redactor: InvokeFixture.redactor())
            let found = lines(writes, &collector)
            #expect(found.allSatisfy { $0.message.count <= LogCollector.maximumLine && !$0.message.isEmpty })
            #expect(found.flatMap(\.message) == text)
            #expect(found.count == (count + 16_383) / 16_384)
        }
    }

    @Test("beyond the limit of a call lines are dropped and counted, and the next call begins anew")
    func limit() {
        var collector = LogCollector(stream: .error, redactor: InvokeFixture.redactor([:]))
        let line = [UInt8](repeating: 120, count: LogCollector.maximumLine - 1) + [10]
        let block = [[UInt8]](repeating: line, count: 64).flatMap { $0 }
        let blocks = LogCollector.maximumPerCall / block.count
        let found = lines([[UInt8]](repeating: block, count: blocks) + [Array("one\ntwo\nthree".utf8)], &collector)
        #expect(found.count == blocks * 64 + 1)
        #expect(found.last?.stream == .platform)
        let last = String(decoding: found.last?.message ?? [], as: UTF8.self)
        #expect(last.hasPrefix("3 lines of stderr dropped"))
        #expect(lines([Array("again\n".utf8)], &collector).map(\.message) == [Array("again".utf8)])
    }
}
