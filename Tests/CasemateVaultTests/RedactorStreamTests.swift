import Testing

@testable import CasemateVault

@Suite("Redactor: streams")
struct RedactorStreamTests {
    private let redactor = Redactor([
        .secret("A", "hunter2hunter2"), .secret("PIN", "4711"), .secret("KEY", RedactorLongValueTests.key),
    ])

    private func pushed(_ stream: inout RedactorStream, _ piece: String) -> String {
        var out: [UInt8] = []
        stream.push(Array(piece.utf8), into: &out)
        return String(decoding: out, as: UTF8.self)
    }

    private func finished(_ stream: inout RedactorStream) -> String {
        var out: [UInt8] = []
        stream.finish(into: &out)
        return String(decoding: out, as: UTF8.self)
    }

    @Test("a secret cut by the boundary of two writes is found", arguments: 1..<14)
    func cut(at position: Int) {
        var stream = redactor.makeStream()
        let value = "hunter2hunter2"
        let first = pushed(&stream, "x=" + value.prefix(position))
        #expect(first == "x=")
        #expect(first + pushed(&stream, value.dropFirst(position) + ";\n") == "x=[secret:A];\n")
        #expect(stream.hits == 1 && stream.heldBytes == 0)
    }

    @Test("ordinary lines go out at once")
    func ordinaryLines() {
        var stream = redactor.makeStream()
        for line in [
            "2026-05-01T12:00:00Z INFO started\n", "{\"level\":\"info\",\"count\":4}\n", "\n", "\r\n", "4711x\n",
            "Traceback (most recent call last):\n", "no line end either.", " [secret:DONE]\n", "-----BEGIN CERTIFICATE-----\n",
        ] {
            #expect(pushed(&stream, line) == line)
            #expect(stream.heldBytes == 0)
        }
        #expect(pushed(&stream, "the pin is 4711\n") == "the pin is [secret:PIN]\n")
    }

    @Test("only what could begin a value is held back")
    func holdsLittle() {
        var stream = redactor.makeStream()
        #expect(pushed(&stream, "user hunter2h") == "user ")
        #expect(pushed(&stream, "unting!") == "hunter2hunting!")
        #expect(pushed(&stream, " 471") == " ")
        #expect(pushed(&stream, "1") == "")
        #expect(pushed(&stream, ".") == "[secret:PIN].")
        #expect(pushed(&stream, "4711") == "")
        #expect(pushed(&stream, "1!") == "47111!")
        #expect(pushed(&stream, " [secret:4711") == " ")
        #expect(pushed(&stream, "]") == "[secret:4711]")
        #expect(pushed(&stream, " [secret:4711") == " ")
        #expect(pushed(&stream, "+") == "[secret:[secret:PIN]+")
    }

    @Test("the end of a stream is the end of a word, and a new stream may follow")
    func finish() {
        var stream = redactor.makeStream()
        #expect(pushed(&stream, "a 4711") == "a ")
        #expect(finished(&stream) == "[secret:PIN]")
        #expect(pushed(&stream, "hunter2") == "")
        #expect(finished(&stream) == "hunter2")
        #expect(pushed(&stream, "4711\n") == "[secret:PIN]\n")
        #expect(finished(&stream) == "")
        #expect(stream.hits == 2)
    }

    @Test("never more is held than the longest spelling, however large the value")
    func bounded() {
        let value = Array(repeating: UInt8(ascii: "a"), count: 65_536)
        let redactor = Redactor([.secret(name: "A", value: value)])
        var stream = redactor.makeStream()
        var out: [UInt8] = []
        for _ in 0..<2000 {
            stream.push([UInt8(ascii: "a")], into: &out)
            #expect(stream.heldBytes < Spellings.pieceLimit)
        }
        stream.push([UInt8(ascii: "!")], into: &out)
        #expect(out == Array("[secret:A]!".utf8) && stream.hits == 1)
    }

    /// Lengths of what leaves after each piece.
    private func lengths(_ redactor: Redactor, _ pieces: [String]) -> [Int] {
        var stream = redactor.makeStream(tellsNothing: true)
        return pieces.map { pushed(&stream, $0).utf8.count }
    }

    @Test("a stream that tells nothing holds back the same, however near a guess comes")
    func tellsNothing() {
        let guesses = (1..<14).map { "Authorization: Bearer " + "hunter2hunter2".prefix($0) }
        for guess in guesses + guesses.map({ String(repeating: $0, count: 20) }) {
            let pieces = [guess, "x", String(repeating: "y", count: 500), "hunter2h", "line\n", "hunter2"]
            let told = lengths(Redactor([.secret("A", "hunter2hunter2")]), pieces)
            #expect(told == lengths(Redactor([.secret("A", "correct-horse")]), pieces), "\(guess)")
            #expect(told == lengths(Redactor([.secret("A", String(repeating: "z", count: 3000))]), pieces), "\(guess)")
        }
    }

    @Test("such a stream lets a line go at its end, where no value has one")
    func tellsNothingLines() {
        var stream = Redactor([.secret("A", "hunter2hunter2")]).makeStream(tellsNothing: true)
        #expect(pushed(&stream, "data: hunter2hunter2\n\n") == "data: [secret:A]\n\n")
        #expect(pushed(&stream, "data: ") == "" && stream.heldBytes == 6)
        #expect(pushed(&stream, "hunter2hunter2") == "" && finished(&stream) == "data: [secret:A]")
        var lines = Redactor([.secret("A", "hunter2h\nunter2hu")]).makeStream(tellsNothing: true)
        #expect(pushed(&lines, "hunter2h\n") == "" && pushed(&lines, "unter2hu\n") == "")
        #expect(finished(&lines) == "[secret:A]\n")
    }
}
