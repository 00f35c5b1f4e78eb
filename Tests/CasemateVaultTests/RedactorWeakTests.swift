import Testing

@testable import CasemateVault

@Suite("Redactor: weak values")
struct RedactorWeakTests {
    private let redactor = Redactor([
        .secret("KEY", "your-secret-key", isWeak: true), .secret("S", "secret"), .secret("N", "12345678", isWeak: true),
    ])

    @Test("a weak value of any length is found as a whole word only")
    func wholeWords() {
        #expect(redactor.cleaned("your-secret-key, x12345678 12345678x") == "[secret:KEY], x12345678 12345678x")
        #expect(
            redactor.cleaned("key=12345678; secrets secret your-secret-keys") == "key=[secret:N]; secrets [secret:S] your-[secret:S]-keys")
        #expect(Redactor([.secret("N", "12345678")]).cleaned("x12345678") == "x[secret:N]", "unless it counts as strong")
    }

    @Test("its encodings are words as well")
    func encodings() {
        let value = Array("your-secret-key".utf8)
        for encoded in [
            PlainEncoding.hex(value), PlainEncoding.hex(value, upper: true), PlainEncoding.base64(value), PlainEncoding.percent(value),
        ] {
            #expect(redactor.redact(Array("a ".utf8) + encoded + Array(".".utf8))?.bytes == Array("a [secret:KEY].".utf8))
        }
    }

    @Test(
        "a key of a JSON object is not redacted, a value is",
        arguments: [
            (#"{"secret": "secret"}"#, #"{"secret": "[secret:S]"}"#),
            (#"{"secret":1,"key":"secret"}"#, #"{"secret":1,"key":"[secret:S]"}"#),
            ("\"secret\" \t : secret", "\"secret\" \t : [secret:S]"), (#"{\"secret\": \"secret\"}"#, #"{\"secret\": \"[secret:S]\"}"#),
            (#"{\\\"secret\\\": \\\"secret\\\"}"#, #"{\\\"secret\\\": \\\"[secret:S]\\\"}"#),
            (#"secret: "secret""#, #"[secret:S]: "[secret:S]""#), (#"["secret", "secret"]"#, #"["[secret:S]", "[secret:S]"]"#),
            (#"'secret': secret":"#, #"'[secret:S]': [secret:S]":"#), (#"{"your-secret-key":{}}"#, #"{"your-secret-key":{}}"#),
            (#"{"user-secret.id": "a-secret"}"#, #"{"user-secret.id": "a-[secret:S]"}"#), (#""user secret":1"#, #""user [secret:S]":1"#),
            (#""a": secret, "b": 1"#, #""a": [secret:S], "b": 1"#), (#""a" secret":"#, #""a" [secret:S]":"#),
            ("\"secret\"\n:", "\"[secret:S]\"\n:"), (#""secret"#, #""[secret:S]"#),
            (#"{"your-secret-key" :"your-secret-key"}"#, #"{"your-secret-key" :"[secret:KEY]"}"#),
        ])
    func keys(text: String, expected: String) {
        #expect(redactor.cleaned(text) == expected)
        for cut in 0...text.utf8.count {
            let pieces = [Array(text.utf8.prefix(cut)), Array(text.utf8.dropFirst(cut))]
            for tellsNothing in [false, true] { #expect(redactor.stream(pieces, tellsNothing: tellsNothing).bytes == Array(expected.utf8)) }
        }
        #expect(redactor.stream(text.utf8.map { [$0] }).bytes == Array(expected.utf8))
    }

    @Test("a strong value is redacted as a key, too")
    func strongKeys() { #expect(Redactor([.secret("A", "9fK2xQ7vLm3R")]).cleaned(#"{"9fK2xQ7vLm3R": 1}"#) == #"{"[secret:A]": 1}"#) }

    @Test("as many as 32 blanks may stand before a key's colon", arguments: [(32, true), (33, false)])
    func blanks(count: Int, isKey: Bool) {
        let text = Array(("\"secret\"" + String(repeating: " ", count: count) + ": 1").utf8)
        #expect((redactor.redact(text) == nil) == isKey)
        #expect((redactor.stream(text.map { [$0] }).hits == 0) == isKey)
    }

    @Test("of a key's name 64 bytes are looked at on each side", arguments: [(63, true), (64, false)])
    func names(count: Int, isKey: Bool) {
        let name = String(repeating: "x", count: count)
        for text in ["{\"\(name)-secret\": 1}", "{\"secret-\(name)\": 1}"] {
            #expect((redactor.redact(Array(text.utf8)) == nil) == isKey)
            for tellsNothing in [false, true] {
                #expect((redactor.stream(text.utf8.map { [$0] }, tellsNothing: tellsNothing).hits == 0) == isKey)
            }
        }
    }

    @Test("neither inside a mark nor across the edge of one is anything replaced")
    func marks() {
        let redactor = Redactor([
            .secret("A", "my-secret", isWeak: true), .secret("B", "see [token", isWeak: true), .secret("C", "a-[secret", isWeak: true),
        ])
        for text in ["[secret:my-secret]", "see [token]", "a-[secret:DB]"] {
            #expect(redactor.redact(Array(text.utf8)) == nil)
            #expect(
                redactor.stream(text.utf8.map { [$0] }).hits == 0 && redactor.stream(text.utf8.map { [$0] }, tellsNothing: true).hits == 0)
        }
        #expect(redactor.cleaned("see [token, a-[secret:") == "[secret:B], [secret:C]:")
    }

    @Test("each line of a weak value is a word, but for those of one or two bytes")
    func lines() {
        let redactor = Redactor([.secret("A", "hello\r\nmy world\nno\n", isWeak: true)])
        #expect(redactor.cleaned("hello, my world, no, world") == "[secret:A], [secret:A], no, world")
        #expect(redactor.cleaned(#"{"a": "hello\r\nmy world\nno\n"}"#) == #"{"a": "[secret:A]\n"}"#)
    }

    @Test("a weak value that is too long for a word is found anywhere")
    func long() {
        let value = String(repeating: "ab", count: 27)
        #expect(Redactor([.secret("A", value, isWeak: true)]).cleaned("x" + value + "x") == "x[secret:A]x")
        let fits = String(repeating: "a", count: 53)
        #expect(Redactor([.secret("A", fits, isWeak: true)]).cleaned("x" + fits + " " + fits) == "x" + fits + " [secret:A]")
    }

    @Test("lines that end with a string go out at once")
    func ordinaryLines() {
        var stream = redactor.makeStream()
        var quiet = redactor.makeStream(tellsNothing: true)
        for line in ["data: \"secret\"\n", "\"hello\"\n", "{\"a\": \"your\"}\r\n"] {
            var out: [UInt8] = []
            stream.push(Array(line.utf8), into: &out)
            quiet.push(Array(line.utf8), into: &out)
            #expect(stream.heldBytes == 0 && quiet.heldBytes == 0)
        }
        #expect(stream.hits == 1)
    }
}
