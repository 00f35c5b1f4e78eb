import CasemateModel
import CasemateVault
import NIOCore
import Testing

@testable import CasemateInvoke

@Suite("What a call's output is searched for")
struct CallRedactorTests {
    private let token = "cmt_callers-own-token-of-some-length"

    private func redactor(_ count: Counter = Counter()) -> CallRedactor {
        let base = InvokeFixture.redactor()
        return CallRedactor(base, tokenLength: token.utf8.count) {
            count.value += 1
            return base.adding([.token(Array(token.utf8))])
        }
    }

    private final class Counter { var value = 0 }

    @Test("the search for a token is made with the first output that could hold it, and once")
    func lazily() {
        let count = Counter()
        let redactor = redactor(count)
        _ = redactor.whole(for: token.utf8.count - 1)
        #expect(count.value == 0)
        _ = redactor.whole(for: token.utf8.count)
        _ = redactor.whole
        #expect(count.value == 1)
        #expect(!redactor.isEmpty)
    }

    @Test("a token that is just as long as the answer is found, and one in its headers, and one that is compressed")
    func found() throws {
        let redact = Redact(redactor(), hasSecrets: true, hasUnknown: false)
        #expect(try redact(InvokeFixture.reply(token), of: InvokeFixture.call).hits == 1)
        #expect(try redact(InvokeFixture.reply("", headers: [("x-seen", token)]), of: InvokeFixture.call).hits == 1)
        // Half in the name of a field, half in its value: not the token, but long enough to be looked at.
        #expect(try redact(InvokeFixture.reply("short"), of: InvokeFixture.call).hits == 0)
    }

    @Test("secrets are found in answers shorter than the token")
    func secrets() throws {
        let redact = Redact(redactor(), hasSecrets: true, hasUnknown: false)
        let reply = try redact(InvokeFixture.reply("hunter2-hunter2"), of: InvokeFixture.call)
        #expect(String(buffer: reply.body) == "[secret:DB_URL]")
    }

    @Test("what is printed is searched for the token, whatever its length")
    func printed() {
        var collector = LogCollector(stream: .output, redactor())
        var lines: [LogLine] = []
        for part in [token.prefix(5), token.dropFirst(5)] {
            collector.take(ByteBuffer(string: String(part)), at: .now, call: nil, into: &lines)
        }
        collector.finish(at: .now, call: nil, into: &lines)
        #expect(lines.map { String(decoding: $0.message, as: UTF8.self) } == ["[token]"])
    }
}
