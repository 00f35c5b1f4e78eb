@testable import CasemateDeploy
import Testing

@Suite("A hostile manifest costs little")
struct ManifestHostileTests {
    private func answer(within limit: Duration, _ text: String) -> [String] {
        var answer: [String] = []
        let time = ContinuousClock().measure { answer = diagnostics(text) }
        #expect(time < limit)
        return answer
    }

    private func repeated(_ text: String, sizeInBytes: Int = 1_000_000) -> String {
        String(repeating: text, count: sizeInBytes / text.utf8.count)
    }

    /// 10 to the power of 30.
    private static let laughs =
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + (1..<30).map { n in "a\(n): &a\(n) [" + (0..<10).map { _ in "*a\(n - 1)" }.joined(separator: ", ") + "]\n" }.joined()

    @Test(
        "with a billion laughs, however they are hidden",
        arguments: [
            "", "? *a29 : x\n? *a28 : y\n",
            // A key that is repeated only in the copy that shows aliases.
            "\"*a\": 1\n\"\\x2aAa\": 2\n",
            // A key too long for the scanner, by a letter, in that copy only.
            "\"\(String(repeating: "*a", count: 510))\": 1\n",
        ])
    func laughs(prefix: String) {
        let lines = prefix.split(separator: "\n").count
        let isKey = prefix.hasPrefix("?")
        let answer = answer(within: .milliseconds(100), isKey ? Self.laughs + prefix : prefix + Self.laughs)
        #expect(answer.count == 1)
        if prefix.utf8.count < 1000 {
            #expect(answer == ["\(2 + (isKey ? 0 : lines)): \(ManifestYAMLTests.alias)"])
        }
    }

    @Test("with laughs in the keys")
    func laughingKeys() {
        let text = "? &a0 [x, x]\n: x\n" + (1..<60).map { "? &a\($0) [*a\($0 - 1), *a\($0 - 1)]\n: x\n" }.joined()
        #expect(answer(within: .milliseconds(100), text) == ["3: \(ManifestYAMLTests.alias)"])
    }

    @Test("of 10 MiB")
    func huge() {
        let text = "namespace: a\n" + repeated("# x\n", sizeInBytes: 10 << 20)
        let expected = [" the manifest is larger than 1 MiB; move data into the functions' folders"]
        #expect(answer(within: .milliseconds(100), text) == expected)
        #expect(diagnostics("#" + String(repeating: "x", count: 1 << 20)) == expected)
        #expect(diagnostics("#" + String(repeating: "x", count: (1 << 20) - 1)) != expected)
    }

    @Test("of endless depth", arguments: ["[", "{", "[{", "- ", "[a: ", "{a: "])
    func depth(opening: String) {
        #expect(
            answer(within: .seconds(5), String(repeating: opening, count: 100_000)).joined().contains("nested more than 32 levels deep"))
    }

    @Test("of the greatest depth that libyaml takes", arguments: [("[", "]"), ("[a: ", "]"), ("{a: ", "}"), ("{? ", "}")])
    func legalDepth(opening: String, closing: String) {
        let levels = opening == "{? " ? 490 : 990
        let text = String(repeating: opening, count: levels) + String(repeating: closing, count: levels)
        #expect(!answer(within: .seconds(5), text).isEmpty)
    }

    @Test("of indentation without end")
    func indentation() {
        let text = (0..<1010).map { String(repeating: " ", count: $0) + "a:\n" }.joined()
        #expect(answer(within: .seconds(5), text).first?.hasSuffix("nested more than 32 levels deep; write it flatter") == true)
    }

    @Test("of mappings as keys of mappings", arguments: ["? ", "{a: b}: c\n", "[{? {? {? x}}}],\n", "[]\t : "])
    func complexKeys(text: String) {
        let answer = answer(within: .seconds(1), repeated(text))
        #expect(answer.count == 1)
        #expect(answer[0].hasSuffix("there are too many keys that are no plain words; write each as name: value"))
    }

    @Test("of directives")
    func directives() {
        let text = (0..<50_000).map { "%TAG !a\($0)! x\n" }.joined() + "--- a"
        #expect(answer(within: .seconds(1), text) == ["1: a line can't start with % (a YAML directive); remove it"])
    }

    @Test("of as many aliases, values or blanks as there is room for", arguments: ["x: [*a, ", "*", "&", "- a\n", " ", "\u{2028}"])
    func many(text: String) {
        #expect(!answer(within: .seconds(5), repeated(text, sizeInBytes: 200_000)).isEmpty)
    }

    @Test("of a mapping's length")
    func longMapping() {
        let text =
            "functions: {a: {env: {" + (0..<5_000).map { "A\($0): true," }.joined() + "}, secrets: {"
            + (0..<5_000).map { "A\($0): true," }.joined() + "}}}"
        #expect(answer(within: .seconds(5), text).count == 101)
    }
}
