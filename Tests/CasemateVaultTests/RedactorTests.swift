import Testing

@testable import CasemateVault

@Suite("Redactor")
struct RedactorTests {
    static let password = "hunter2/Zürich\t\"x\""
    let redactor = Redactor([.secret("DB", password)])

    @Test("a printed secret becomes its mark, and a token becomes [token]")
    func marks() {
        let redactor = Redactor([.secret("DB_URL", "postgres://u:pw@db"), .token(Array("eyJhbGciOiJFZERTQSJ9".utf8))])
        #expect(redactor.cleaned("at postgres://u:pw@db, for eyJhbGciOiJFZERTQSJ9.") == "at [secret:DB_URL], for [token].")
        #expect(redactor.redact(Array("postgres://u:pw@dbpostgres://u:pw@db".utf8))?.hits == 2)
    }

    @Test("a text without secrets comes back as nil")
    func nothingFound() {
        #expect(redactor.redact(Array("hunter2/Zurich, hunter".utf8)) == nil)
        #expect(redactor.redact([]) == nil)
        #expect(!redactor.contains(Array("hunter2".utf8)))
    }

    @Test("no needles, empty values and bare line ends make an empty redactor")
    func empty() {
        let redactor = Redactor([.secret("A", ""), .secret("B", "\r\n\n")])
        #expect(redactor.isEmpty && Redactor([]).isEmpty && !self.redactor.isEmpty)
        #expect(redactor.redact(Array("\r\n\n text".utf8)) == nil)
        #expect(redactor.stream([Array("any".utf8), Array("thing".utf8)]).bytes == Array("anything".utf8))
    }

    @Test(
        "each JSON spelling is found",
        arguments: [
            #"hunter2/Zürich\t\"x\""#, #"hunter2\/Zürich\t\"x\""#,
            #"hunter2/Z\u00fcrich\t\"x\""#, #"hunter2/Z\u00FCrich\t\"x\""#, #"hunter2\/Z\u00fcrich\t\"x\""#,
            #"hunter2\/Z\u00FCrich\t\"x\""#,
        ]
    )
    func json(spelling: String) {
        #expect(redactor.cleaned(#"{"a":""# + spelling + #""}"#) == #"{"a":"[secret:DB]"}"#)
    }

    @Test("JSON escapes of control characters, markup and characters beyond the first plane are found")
    func jsonCorners() {
        let redactor = Redactor([.secret("A", "\u{1}\u{1F}abc<&>def"), .secret("B", "clef 𝄞 clef"), .secret("C", "del\u{7F}del\u{7F}")])
        #expect(redactor.cleaned(#"\u0001\u001fabc<&>def \u0001\u001Fabc<&>def"#) == "[secret:A] [secret:A]")
        #expect(redactor.cleaned(#"\u0001\u001fabc\u003c\u0026\u003edef"#) == "[secret:A]")
        #expect(redactor.cleaned(#"clef \ud834\udd1e clef, clef \uD834\uDD1E clef, clef 𝄞 clef"#) == "[secret:B], [secret:B], [secret:B]")
        #expect(redactor.cleaned(#"del\u007fdel\u007f"#) == "[secret:C]")
    }

    @Test("JSON as a string inside JSON is found")
    func jsonTwice() {
        let redactor = Redactor([.secret("A", #"pass"word\é"#)])
        #expect(redactor.cleaned(#"{"dump": "{\"k\": \"pass\\\"word\\\\é\"}"}"#) == #"{"dump": "{\"k\": \"[secret:A]\"}"}"#)
        #expect(redactor.cleaned(#"pass\\\"word\\\\\\u00e9"#) == "[secret:A]")
    }

    @Test("a byte that is not UTF-8 is found as Python writes it")
    func surrogateEscape() {
        let redactor = Redactor([.secret(name: "A", value: Array("key=".utf8) + [0xFF, 0xC3] + Array("=yek".utf8))])
        #expect(redactor.cleaned(#"key=\udcff\udcc3=yek"#) == "[secret:A]")
    }

    @Test("base64 of the secret alone is replaced whole, padded or not", arguments: 8...12)
    func base64Alone(length: Int) {
        let value = (0..<length).map { UInt8(0xF8 + $0 % 8) }
        let redactor = Redactor([.secret(name: "A", value: value)])
        for url in [false, true] {
            for padded in [false, true] {
                let text = PlainEncoding.base64(value, url: url, padded: padded)
                #expect(redactor.redact(text) == RedactedText(bytes: Array("[secret:A]".utf8), hits: 1))
            }
        }
    }

    @Test("base64 of a text with the secret in it keeps what is not the secret's", arguments: 0..<3, 0..<3)
    func base64Embedded(before: Int, after: Int) {
        let value = Array("p4ssw0rd-p4ssw0rd".utf8)
        let prefix = Array("us:".utf8.prefix(before))
        let suffix = Array("ab".utf8.prefix(after))
        let text = PlainEncoding.base64(prefix + value + suffix)
        let bits = (8 * before, 8 * (before + value.count))
        var inner = (bits.0 + 5) / 6..<bits.1 / 6
        if after == 0 { inner = inner.lowerBound..<text.count }
        let redacted = Redactor([.secret(name: "A", value: value)]).redact(text)
        #expect(redacted?.bytes == Array(text[..<inner.lowerBound]) + Array("[secret:A]".utf8) + Array(text[inner.upperBound...]))
    }

    @Test("HTTP Basic credentials are found")
    func basicCredentials() {
        let redactor = Redactor([.secret("PW", "open sesame")])
        #expect(redactor.cleaned("Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ==, x") == "Basic YWxhZGRpbjp[secret:PW], x")
    }

    @Test("hex in either case is found")
    func hex() {
        let value = Array("jklmnopz".utf8)
        let redactor = Redactor([.secret(name: "A", value: value)])
        #expect(redactor.cleaned("0x6a6b6c6d6e6f707a 6A6B6C6D6E6F707A") == "0x[secret:A] [secret:A]")
    }

    @Test(
        "percent-encodings are found",
        arguments: [
            "a%20b%2Fc~d%C3%BC(e)*f%3Ag", "a%20b%2fc~d%c3%bc(e)*f%3ag", "a+b%2Fc%7Ed%C3%BC%28e%29*f%3Ag", "a+b%2Fc~d%C3%BC%28e%29%2Af%3Ag",
            "a%20b/c~d%C3%BC%28e%29%2Af%3Ag", "a%20b/c~d%C3%BC(e)*f:g", "a+b%2Fc%7Ed%C3%BC%28e%29%2Af%3Ag",
        ]
    )
    func percent(spelling: String) {
        #expect(Redactor([.secret("A", "a b/c~dü(e)*f:g")]).cleaned("?q=" + spelling + "&r") == "?q=[secret:A]&r")
    }

    @Test("percent-encoding of every byte is found")
    func percentEverything() {
        let redactor = Redactor([.secret("A", "zyxw vutjk")])
        #expect(redactor.cleaned("%7A%79%78%77%20%76%75%74%6A%6B") == "[secret:A]")
        #expect(redactor.cleaned("%7a%79%78%77%20%76%75%74%6a%6b") == "[secret:A]")
    }
}

@Suite("Redactor: words")
struct RedactorWordTests {
    let redactor = Redactor([.secret("PIN", "4711"), .secret("P", "a-b"), .secret("X", "seven_7")])

    @Test("a value under eight bytes is found as a whole word only")
    func wholeWords() {
        #expect(
            redactor.cleaned("4711 pin=4711; 47110 x4711 4711_ é4711é") == "[secret:PIN] pin=[secret:PIN]; 47110 x4711 4711_ é[secret:PIN]é"
        )
        #expect(redactor.cleaned("a-b aa-b a-bb (a-b)") == "[secret:P] aa-b a-bb ([secret:P])")
        #expect(Redactor([.secret("A", "[ab]"), .secret("B", "[s")]).cleaned("[ab] [s x[ab] x[s") == "[secret:A] [secret:B] x[ab] x[s")
        #expect(redactor.cleaned("seven_7,seven_77") == "[secret:X],seven_77")
        #expect(redactor.cleaned("4711") == "[secret:PIN]")
    }

    @Test("its encodings are words as well")
    func encodings() {
        let redactor = Redactor([.secret("A", "jk/\"z")])
        #expect(redactor.cleaned(#"'jk/\"z' 'jk\/\"z'"#) == "'[secret:A]' '[secret:A]'")
        #expect(redactor.cleaned("6a6b2f227a 6A6B2F227A, x6a6b2f227a") == "[secret:A] [secret:A], x6a6b2f227a")
        #expect(redactor.cleaned("q=jk%2F%22z&r=%6a%6b%2f%22%7a") == "q=[secret:A]&r=[secret:A]")
        #expect(redactor.cleaned("amsvIno= amsvIno amsvInoA") == "[secret:A] [secret:A] amsvInoA")
    }

    @Test("a value of one or two bytes has no hex or base64")
    func tiny() {
        #expect(Redactor([.secret("A", "1")]).cleaned("1 31 MQ== %31") == "[secret:A] 31 MQ== [secret:A]")
    }

    @Test("inside a mark nothing is replaced")
    func marksStay() {
        let redactor = Redactor([.secret("A", "token"), .secret("B", "secret"), .secret("C", "DB"), .secret("D", "OTHER-1")])
        let text = "[secret:DB] [secret:OTHER-1]x[secret:x.DB] [[token]]7[token][secret:DB]"
        #expect(redactor.redact(Array(text.utf8)) == nil)
        #expect(redactor.cleaned("[secret:DB, [secret:] [token DB]") == "[[secret:B]:[secret:C], [[secret:B]:] [[secret:A] [secret:C]]")
        #expect(redactor.cleaned("[secret:D B] [tokens] token]") == "[[secret:B]:D B] [tokens] [secret:A]]")
    }

    @Test("eight bytes are found anywhere, seven are not")
    func boundary() {
        #expect(Redactor([.secret("A", "12345678")]).cleaned("x12345678x") == "x[secret:A]x")
        #expect(Redactor([.secret("A", "1234567")]).cleaned("x1234567x") == "x1234567x")
        #expect(Redactor([.secret("A", "1234567\n")]).cleaned("x1234567x 1234567") == "x1234567x [secret:A]")
    }
}

@Suite("Redactor: several matches")
struct RedactorOverlapTests {
    @Test("the leftmost match wins, then the longest")
    func leftmostLongest() {
        let redactor = Redactor([.secret("SHORT", "password1"), .secret("LONG", "password12345"), .secret("INNER", "word12345")])
        #expect(redactor.cleaned("password12345") == "[secret:LONG]")
        #expect(redactor.cleaned("password1234") == "[secret:SHORT]234")
        #expect(redactor.cleaned("my word12345") == "my [secret:INNER]")
    }

    @Test("of two that overlap nothing is left")
    func overlap() {
        let redactor = Redactor([.secret("A", "abcdefgh1234"), .secret("B", "efgh12345678")])
        #expect(redactor.cleaned("-abcdefgh12345678-") == "-[secret:A][secret:B]-")
        #expect(Redactor([.secret("A", "abababab")]).cleaned("-abababababab-") == "-[secret:A]-")
    }

    @Test("neighbours are both replaced")
    func adjacent() {
        let redactor = Redactor([.secret("A", "aaaabbbb"), .secret("B", "ccccdddd")])
        #expect(redactor.cleaned("aaaabbbbccccddddaaaabbbbaaaabbbb") == "[secret:A][secret:B][secret:A][secret:A]")
    }

    @Test("two secrets with one value give the first one's mark")
    func sameValue() {
        #expect(Redactor([.secret("A", "same value"), .secret("B", "same value")]).cleaned("same value") == "[secret:A]")
    }

    @Test("redacting again changes nothing, even where a value is part of a mark")
    func twice() {
        let needles: [Needle] = [
            .secret("DATABASE_URL", "DATABASE_URL"), .secret("A", "DATABASE"), .secret("B", "ret:DATA"), .secret("C", "[secret:"),
        ]
        let redactor = Redactor(needles)
        let once = redactor.cleaned("x DATABASE_URL DATABASE ret:DATA [secret:")
        #expect(once == "x [secret:DATABASE_URL] [secret:A] [secret:B] [secret:C]")
        #expect(redactor.cleaned(once) == once)
    }

    @Test("a value inside a mark that nobody made is replaced")
    func forgedMark() {
        #expect(Redactor([.secret("A", "hunter2hunter2")]).cleaned("[secret:hunter2hunter2]") == "[secret:[secret:A]]")
    }

    @Test("a call's tokens are added to the revision's secrets")
    func adding() {
        let revision = Redactor([.secret("A", "revision secret"), .secret("W", "word")])
        let call = revision.adding([.token(Array("call token".utf8)), .secret("V", "verb")])
        #expect(call.cleaned("revision secret, call token, word, verb") == "[secret:A], [token], [secret:W], [secret:V]")
        #expect(revision.cleaned("revision secret, call token, word, verb") == "[secret:A], call token, [secret:W], verb")
        #expect(Redactor([]).adding([.token(Array("call token".utf8))]).cleaned("call token") == "[token]")
    }

    @Test("the first match has a place and a mark")
    func firstMatch() throws {
        let redactor = Redactor([.secret("SOME_NAME", "SOME_NAME"), .secret("B", "efgh12345678")])
        let found = try #require(redactor.firstMatch(in: Array("[secret:SOME_NAME] efgh12345678 SOME_NAME".utf8)))
        #expect(found.range == 19..<31)
        #expect(found.mark == Array("[secret:B]".utf8))
        #expect(redactor.contains(Array("SOME_NAME".utf8)) && !redactor.contains(Array("[secret:SOME_NAME]".utf8)))
    }
}

@Suite("Redactor: long and multi-line values")
struct RedactorLongValueTests {
    static let key = "-----BEGIN PRIVATE KEY-----\n" + keyLines.joined(separator: "\n") + "\n-----END PRIVATE KEY-----\n"
    static let keyLines: [String] = {
        var random = RedactorRandom(seed: 7)
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        return (0..<26).map { String(decoding: random.bytes($0 < 25 ? 64 : 24, of: letters), as: UTF8.self) }
    }()

    @Test("a printed PEM key becomes one mark")
    func wholeKey() {
        let redactor = Redactor([.secret("KEY", Self.key)])
        #expect(redactor.cleaned("key: " + Self.key + "done") == "key: [secret:KEY]\ndone")
        let json = String(decoding: PlainEncoding.json(Self.key, ascii: true), as: UTF8.self)
        #expect(redactor.cleaned("{\"key\":\"" + json + "\"}") == "{\"key\":\"[secret:KEY]\\n\"}")
        #expect(redactor.redact(PlainEncoding.base64(Array(Self.key.utf8)))?.hits == 1)
        #expect(redactor.redact(PlainEncoding.hex(Array(Self.key.utf8)))?.bytes == Array("[secret:KEY]0a".utf8))
    }

    @Test("each line of a PEM key is replaced, its boundaries are not")
    func lines() {
        let redactor = Redactor([.secret("KEY", Self.key)])
        for line in Self.keyLines { #expect(redactor.cleaned("> " + line) == "> [secret:KEY]") }
        #expect(redactor.redact(Array("-----BEGIN PRIVATE KEY-----\r\n-----END PRIVATE KEY-----".utf8)) == nil)
        let windows = "\r\n" + Self.keyLines.joined(separator: "\r\n") + "\r\n"
        #expect(redactor.cleaned(windows) == "\r\n" + Self.keyLines.map { _ in "[secret:KEY]\r\n" }.joined())
        #expect(redactor.redact(PlainEncoding.hex(Array(Self.keyLines[3].utf8)))?.bytes == Array("[secret:KEY]".utf8))
    }

    @Test("lines of a value with CRLF and with written-out line ends are found; lines under eight bytes are not")
    func otherLineEnds() {
        let redactor = Redactor([
            .secret("A", "first line\r\nshort\r\nthird line"), .secret("J", #"{"key":"4321432143214321\n5678567856785678\n"}"#),
        ])
        #expect(redactor.cleaned("third line, short, first line") == "[secret:A], short, [secret:A]")
        #expect(redactor.cleaned("5678567856785678") == "[secret:J]")
    }

    @Test("of a long value printed whole nothing is left, whatever stands before it", arguments: [159, 160, 161, 288, 1000, 65_536])
    func longValue(length: Int) {
        var random = RedactorRandom(seed: UInt64(length))
        let value = random.bytes(length, of: Array("abcdefghijklmnopqrstuvwxyz0123456789".utf8))
        // The other needle overlaps the first piece from the left.
        let other = Array("other-".utf8) + value[..<20]
        let redactor = Redactor([.secret(name: "A", value: value), .secret(name: "B", value: other)])
        #expect(redactor.redact(value + value) == RedactedText(bytes: Array("[secret:A][secret:A]".utf8), hits: 2))
        #expect(redactor.redact(Array("other-".utf8) + value)?.bytes == Array("[secret:B][secret:A]".utf8))
        #expect(redactor.redact(PlainEncoding.base64([1] + value + [2]))?.hits == 1)
        let pieces = random.pieces(of: Array("<".utf8) + value + Array(">".utf8))
        #expect(redactor.stream(pieces).bytes == Array("<[secret:A]>".utf8))
    }

    @Test("pieces of a long text are cut between characters")
    func characters() {
        let text = String(repeating: "€äx𝄞", count: 100)
        var spellings = Spellings()
        spellings.add(Array(text.utf8), mark: 0)
        let list = spellings.needles
        #expect(list.entries.prefix(4).allSatisfy { String(validating: list.bytes[$0.range], as: UTF8.self) != nil })
    }

    @Test("one repeated byte, 64 KiB of it")
    func repeated() {
        let value = Array(repeating: UInt8(ascii: "a"), count: 65_536)
        let redactor = Redactor([.secret(name: "A", value: value)])
        #expect(redactor.redact(Array("<".utf8) + value + Array(">".utf8))?.bytes == Array("<[secret:A]>".utf8))
    }
}

@Suite("Redactor: rendering")
struct RedactorRenderingTests {
    @Test("printing, dumping and mirroring show no value")
    func rendering() {
        let value = "do-not-print-me"
        let needle = Needle.secret("NAME", value)
        let redactor = Redactor([needle, .secret("W", "wordy")])
        var stream = redactor.makeStream()
        var out: [UInt8] = []
        stream.push(Array("x do-not-print".utf8), into: &out)
        #expect(stream.heldBytes == 12)
        var shown = ""
        for thing in [needle, redactor, stream, [needle]] as [Any] {
            shown += "\(thing) " + String(reflecting: thing)
            dump(thing, to: &shown)
        }
        #expect(!shown.contains("print"), "\(shown)")
        #expect(!shown.contains("wordy"))
        #expect(!shown.contains("100, 111"), "no bytes either")
        #expect(shown.contains("[secret:NAME]"))
        #expect(Mirror(reflecting: needle).children.isEmpty)
        #expect(Mirror(reflecting: redactor).children.isEmpty)
        #expect(Mirror(reflecting: stream).children.isEmpty)
    }
}
