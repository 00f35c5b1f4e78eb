import CasemateVault
import Testing

@Suite("The strength of a value")
struct SecretStrengthTests {
    private func weaknesses(_ value: String) -> [SecretStrength.Weakness] { SecretStrength.weaknesses(of: Array(value.utf8)) }

    @Test("under eight bytes is short, without the line end of a file", arguments: ["x", "k3y!", "4711-ab", "9f3kq2z\r\n"])
    func short(value: String) {
        #expect(weaknesses(value).contains(.short))
        #expect(!weaknesses("kq9zz" + value + "z7w").contains(.short))
    }

    @Test("nothing is short, and nothing else")
    func empty() { #expect(weaknesses("") == [.short] && weaknesses("\n") == [.short]) }

    @Test(
        "up to four words are dictionary words, with digits at their ends, capitals and punctuation",
        arguments: [
            "your-secret-key", "secret", "password123", "hello-world", "Password123!", "changeme", "changeMe", "YOUR_API_KEY",
            "yourSecretKey",
            "open sesame", "2024-secret", "correct-horse-battery-staple", "secret\nvalue\n",
        ])
    func words(value: String) { #expect(weaknesses(value).contains(.dictionaryWord)) }

    @Test(
        "passphrases, numbers and what no dictionary has are no words",
        arguments: [
            "correct-horse-battery-staple-orbit", "correct horse battery staple orbit", "key-4829104857201938", "secret-xkqzvw",
            "Zürich-Passwort", "sk_live_4eC39HqLyjWDarjtT1zdp7dc", "a-b-c-9-7-k", "printed-secret-51c9", "{}[]<>()!!?-",
        ])
    func noWords(value: String) { #expect(!weaknesses(value).contains(.dictionaryWord)) }

    @Test(
        "repetition, runs along alphabet and keyboard, and few different bytes are simple patterns",
        arguments: [
            "aaaaaaaa", "abcabcabc", "xyxyxyxy", "12345678", "87654321", "abcdefgh", "qwertyuiop", "QWERTYuiop", "poiuytrewq", "asdfghjkl",
            "qwerty123", "abc12345678", "aaaabbbb", "abababba", "11223344", "00000000-0000-0000-0000-000000000000", "hunter2hunter2",
        ])
    func patterns(value: String) { #expect(weaknesses(value).contains(.lowEntropy)) }

    @Test("words and short values are no patterns by that", arguments: ["hello-world", "test", "tiger-lily", "4711-ab", "zq81kd0x"])
    func noPatterns(value: String) { #expect(!weaknesses(value).contains(.lowEntropy)) }

    /// What tools make for people who ask for a secret.
    @Test("a random token is never weak", arguments: ["hex", "base64", "base64url", "uuid", "letters", "prefixed"])
    func random(kind: String) {
        var random = RedactorRandom(seed: 11)
        let alphanumeric = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8)
        var weak: [String] = []
        for _ in 0..<500 {
            let bytes = random.bytes(24, of: Array(0...255))
            let value =
                switch kind {
                case "hex": PlainEncoding.hex(Array(bytes.prefix(16)))
                case "base64": PlainEncoding.base64(bytes)
                case "base64url": PlainEncoding.base64(bytes, url: true)
                case "letters": random.bytes(16, of: Array("abcdefghijklmnopqrstuvwxyz".utf8))
                case "prefixed": Array("sk_live_".utf8) + random.bytes(24, of: alphanumeric)
                default:
                    [4, 2, 2, 2, 6].map { PlainEncoding.hex(random.bytes($0, of: Array(0...255))) }.joined(separator: "-".utf8).map(\.self)
                }
            if !SecretStrength.weaknesses(of: value).isEmpty { weak.append(String(decoding: value, as: UTF8.self)) }
        }
        #expect(weak == [])
    }

    @Test("a long value is asked for its pattern alone, and soon answered")
    func long() {
        let words = Array(repeating: "secret", count: 30).joined(separator: "-")
        #expect(weaknesses(words) == [.lowEntropy] && weaknesses(words + "!!x9") == [])
        let almost = Array(repeating: UInt8(ascii: "a"), count: 65_536) + Array("-q7".utf8)
        let taken = ContinuousClock().measure { #expect(SecretStrength.weaknesses(of: almost) == [.lowEntropy]) }
        #expect(taken < .seconds(2), "\(taken)")
    }

    @Test("many ask at once")
    func concurrent() async {
        await withTaskGroup(of: Bool.self) { group in
            for number in 0..<64 {
                let value = number % 2 == 0 ? "your-secret-key" : "9fK2xQ7vLm3R"
                group.addTask { SecretStrength.weaknesses(of: Array(value.utf8)).isEmpty == (number % 2 == 1) }
            }
            for await isRight in group { #expect(isRight) }
        }
    }
}
