import Testing

@testable import CasemateVault

@Suite("Redactor: properties")
struct RedactorPropertyTests {
    private static let alphabets: [[UInt8]] = [
        Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789".utf8),
        (0x20...0x7E).map { UInt8($0) },
        Array("aZ0-_./+=%\" \\<>&?~*'()\t\u{1}".utf8),
    ]
    private static let characters: [Character] = Array("aé€𝄞Z0/\"\\ ~\u{7F}\u{2028}<")

    private static func value(_ random: inout RedactorRandom, length: Int) -> String {
        let kind = random.below(4)
        if kind == 3 { return String((0..<length).map { _ in characters[random.below(characters.count)] }) }
        return String(decoding: random.bytes(length, of: alphabets[kind]), as: UTF8.self)
    }

    /// Each encoding of a value: what is printed, and which part of that the value alone decides.
    private static func encodings(of value: String, _ random: inout RedactorRandom) -> [(text: [UInt8], secret: [UInt8])] {
        let bytes = Array(value.utf8)
        var whole = [bytes, PlainEncoding.hex(bytes), PlainEncoding.hex(bytes, upper: true)]
        for upper in [false, true] {
            for slash in [false, true] {
                whole.append(PlainEncoding.json(value, ascii: true, upper: upper, slash: slash))
                whole.append(PlainEncoding.json(value, ascii: false, upper: upper, slash: slash))
            }
            whole.append(PlainEncoding.percent(bytes, upper: upper))
            for kept in ["", "~", "~/", "*", "~!*'()", "~!*'();,/?:@&=+$#"] {
                for plus in [false, true] {
                    whole.append(PlainEncoding.percent(bytes, upper: upper, plus: plus, keeping: PlainEncoding.unreserved + kept))
                }
            }
        }
        var encodings = whole.map { (text: $0, secret: $0) }
        for url in [false, true] {
            for before in 0..<3 {
                let prefix = random.bytes(before + 3 * random.below(2), of: Array(0...255))
                let suffix = random.bytes(random.below(4), of: Array(0...255))
                let text = PlainEncoding.base64(prefix + bytes + suffix, url: url, padded: random.below(2) == 0)
                let inner = (8 * prefix.count + 5) / 6..<8 * (prefix.count + bytes.count) / 6
                encodings.append((text, Array(text[inner])))
            }
        }
        return encodings
    }

    @Test("no secret survives, in any encoding, in one piece or in many", arguments: 0..<6)
    func nothingSurvives(seed: Int) {
        var random = RedactorRandom(seed: UInt64(seed))
        let filler = Array("abc XYZ 019 .,:;-+/=%\\\"[]{}\n".utf8)
        for round in 0..<3 {
            let length = round == 2 ? 200 + random.below(400) : 8 + random.below(40)
            let values = (0..<3).map { _ in Self.value(&random, length: length) }.filter { $0.utf8.count >= 8 }
            let redactor = Redactor(values.enumerated().map { .secret("S\($0)", $1) })
            for value in values {
                for (encoded, secret) in Self.encodings(of: value, &random) {
                    let text = random.bytes(random.below(30), of: filler) + encoded + random.bytes(random.below(30), of: filler)
                    let once = redactor.redact(text)
                    #expect(once != nil && !once!.bytes.contains(part: secret), "\(value) as \(String(decoding: encoded, as: UTF8.self))")
                    #expect(once!.bytes.count < text.count + 60)
                    let streamed = redactor.stream(random.pieces(of: text))
                    #expect(streamed.bytes == once?.bytes && streamed.hits == once?.hits)
                    #expect(redactor.stream(random.pieces(of: text), tellsNothing: true).bytes == once?.bytes)
                }
            }
        }
    }

    @Test("short and weak secrets do not survive as words", arguments: 0..<4)
    func wordsDoNotSurvive(seed: Int) {
        var random = RedactorRandom(seed: UInt64(100 + seed))
        let delimiters = Array(" .,:;-+/{}\n".utf8)
        for _ in 0..<40 {
            let value = random.bytes(3 + random.below(30), of: Self.alphabets[random.below(3)])
            let redactor = Redactor([.secret(name: "S", value: value, isWeak: true)])
            for encoded in [
                value, PlainEncoding.hex(value), PlainEncoding.hex(value, upper: true), PlainEncoding.base64(value),
                PlainEncoding.base64(value, url: true), PlainEncoding.base64(value, padded: false), PlainEncoding.percent(value),
                PlainEncoding.percent(value, upper: false),
                PlainEncoding.percent(value, plus: true, keeping: PlainEncoding.unreserved),
                PlainEncoding.json(String(decoding: value, as: UTF8.self), ascii: true, slash: true),
            ] {
                let text = random.bytes(1, of: delimiters) + encoded + random.bytes(1, of: delimiters)
                let once = redactor.redact(text)
                let expected = [text[0]] + Array("[secret:S]".utf8) + [text[text.count - 1]]
                #expect(once?.bytes == expected, "\(String(decoding: text, as: UTF8.self))")
                #expect(redactor.stream(random.pieces(of: text)).bytes == once?.bytes)
                #expect(redactor.stream(random.pieces(of: text), tellsNothing: true).bytes == once?.bytes)
            }
        }
    }

    @Test("what has no secret stays as it is", arguments: 0..<4)
    func nothingElseChanges(seed: Int) {
        var random = RedactorRandom(seed: UInt64(200 + seed))
        let redactor = Redactor((0..<20).map { .secret("S\($0)", Self.value(&random, length: 12 + random.below(30))) })
        for _ in 0..<50 {
            let text = random.bytes(random.below(2000), of: random.below(2) == 0 ? Array(0...255) : Self.alphabets[random.below(3)])
            #expect(redactor.redact(text) == nil)
            let streamed = redactor.stream(random.pieces(of: text))
            #expect(streamed.bytes == text && streamed.hits == 0)
            #expect(redactor.stream(random.pieces(of: text), tellsNothing: true).bytes == text)
        }
    }

    /// Few different bytes make needles that overlap, nest and repeat at every turn.
    @Test("the same is found as by trying everything everywhere, in one piece or in many", arguments: 0..<6)
    func likeTheNaiveOne(seed: Int) {
        var random = RedactorRandom(seed: UInt64(300 + seed))
        for _ in 0..<8 {
            let alphabets = ["ab", "abc-", "a", "ab\n", "ab\":", "a\"\\", "a[sectr:oken]"].map { Array($0.utf8) }
            let alphabet = alphabets[random.below(alphabets.count)]
            var values: [[UInt8]] = []
            for _ in 0..<1 + random.below(6) {
                let length = [1 + random.below(7), 8 + random.below(12), 20 + random.below(300)][random.below(3)]
                // Some values continue others.
                let beginning = random.below(2) == 0 ? values.randomElement(using: &random) ?? [] : []
                values.append(beginning.prefix(200) + random.bytes(length, of: alphabet))
            }
            let needles = values.enumerated().map {
                Needle.secret(name: ["ab", "aaaaaaaab", "c-a"][$0 % 3] + "\($0)", value: $1, isWeak: random.below(2) == 0)
            }
            let redactor = Redactor(needles)
            let kept = needles.map(\.mark).filter { NaiveRedactor(needles).redact($0).hits > 0 }
            let naive = NaiveRedactor(needles, keeping: kept)
            for _ in 0..<4 {
                var text: [UInt8] = []
                for _ in 0..<1 + random.below(8) {
                    switch random.below(8) {
                    case 0: text += values[random.below(values.count)]
                    case 1: text += values[random.below(values.count)].dropLast()
                    case 2: text += needles[random.below(needles.count)].mark
                    case 3: text += needles[random.below(needles.count)].mark.dropLast(random.below(12))
                    case 4: text += PlainEncoding.base64(values[random.below(values.count)] + random.bytes(random.below(3), of: alphabet))
                    case 5: text += Array("\"".utf8) + values[random.below(values.count)] + Array("\"".utf8)
                    case 6: text += [["\"", ":", " ", "\\\"", "\" \t:", "[secret:", "[token]", "]"][random.below(8)]].flatMap(\.utf8)
                    default: text += random.bytes(random.below(60), of: alphabet + Array(" ".utf8))
                    }
                }
                let expected = naive.redact(text)
                let once = redactor.redact(text)
                #expect(
                    once?.bytes ?? text == expected.bytes,
                    "\(needles.map { String(decoding: $0.value, as: UTF8.self) }) in \(String(decoding: text, as: UTF8.self))")
                #expect(once?.hits ?? 0 == expected.hits)
                let streamed = redactor.stream(random.pieces(of: text))
                #expect(
                    streamed.bytes == expected.bytes && streamed.hits == expected.hits,
                    "\(needles.map { String(decoding: $0.value, as: UTF8.self) }) in \(String(decoding: text, as: UTF8.self))")
                let untold = redactor.stream(random.pieces(of: text), tellsNothing: true)
                #expect(untold.bytes == expected.bytes && untold.hits == expected.hits)
            }
        }
    }
}
