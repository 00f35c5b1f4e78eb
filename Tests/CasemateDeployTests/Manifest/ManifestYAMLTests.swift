@testable import CasemateDeploy
import Testing

@Suite("YAML that is refused, in our words")
struct ManifestYAMLTests {
    @Test("as a whole", arguments: answers)
    func check(answer: Answer) { #expect(diagnostics(answer.text) == answer.lines) }

    static let alias = "aliases (*) are not allowed; write the value out, or a text that starts with * in quotes"
    static let anchor = "anchors (&) are not allowed; remove it, or write a text that starts with & in quotes"
    static let tag = "tags (!) are not allowed; remove it, or write a text that starts with ! in quotes"
    static let misfit = "this does not fit the lines above; check the indentation, brackets and quotes"
    static let colon = "there is a colon too many; check the indentation, and write a text that holds \": \" in quotes"
    static let answers: [Answer] = [
        Answer("a: &b 1\nc: *b", "2: \(alias)"),
        Answer("a: *b", "1: \(alias)"),
        Answer("a: &a [*a]", "1: \(alias)"),
        Answer("&a a: 1\n*a : 2", "2: \(alias)"),
        Answer("a: &b {c: 1}\nd:\n  <<: *b", "3: \(alias)"),
        Answer("a: [*.x]", "1: a value can't start with * or &; write it in quotes"),
        Answer("a:\n\tb: c", "2: there is a tab in the indentation; indent with spaces"),
        Answer("a: b: c", "1: \(colon)"),
        Answer("a\nb: c", "2: \(colon)"),
        Answer("a: 1\nb\nc: d", "2: a colon is missing; write it as name: value"),
        Answer("a: 1\n---\nb: 1", "2: there is more than one document; remove the --- line and what follows it"),
        Answer("a: 1\n...\n---\n", "3: there is more than one document; remove the --- line and what follows it"),
        Answer("b: 1\na: \"x\n", "2: a quote is not closed; close it"),
        Answer("b: 1\na: [1\n\n", "2: a list in [ ] is not closed, or lacks a comma; check its commas and brackets"),
        Answer("b: 1\na: {b: 1\n\n", "2: a mapping in { } is not closed, or lacks a comma; check its commas and braces"),
        Answer("a: 'x' y", "1: \(misfit)"),
        Answer("a:\n  b: 1\n c: 2", "3: \(misfit)"),
        Answer("a:\n  - b\n  c: 1", "3: \(misfit)"),
        Answer("a: - b", "1: a list can't start here; put each - on a line of its own"),
        Answer("a: @b", "1: a value can't start with this character; write it in quotes"),
        Answer("a: \"\\q\"", "1: double quotes hold an unknown \\ escape; use single quotes, or \\\\ for a \\"),
        Answer("%YAML 1.1\n---\na: 1", "1: a line can't start with % (a YAML directive); remove it"),
        Answer("a: 1\nb: \u{0}", "2: there is a control character; remove it, or write it as \\u in double quotes"),
        Answer("a: \u{9B}", "1: there is a control character; remove it, or write it as \\u in double quotes"),
        Answer("a: \u{FFFE}", "1: there is a control character; remove it, or write it as \\u in double quotes"),
        Answer("a: !x!y z", "1: \(tag)"),
    ]

    @Test("beside all other faults", arguments: beside)
    func checkBeside(answer: Answer) { #expect(diagnostics(answer.text) == answer.lines) }

    static let unknown = "unknown key \"x\"; known here: namespace, functions"
    static let beside: [Answer] = [
        Answer(manifest() + "x: &a 1\n", "6: \(anchor)", "6: \(unknown)"),
        Answer(manifest() + "&a x: 1\n", "6: \(anchor)", "6: \(unknown)"),
        Answer(manifest() + "x: &a\n  - 1\n", "6: \(anchor)", "6: \(unknown)"),
        Answer(manifest() + "x: !!python/object:os.system {a: 1}\n", "6: \(tag)", "6: \(unknown)"),
        Answer(manifest() + "x: !!str 1\n", "6: \(tag)", "6: \(unknown)"),
        Answer(manifest() + "x: !!str \"1\"\n", "6: \(tag)", "6: \(unknown)"),
        Answer(manifest() + "x: ! 1\n", "6: \(tag)", "6: \(unknown)"),
        Answer(manifest() + "! x: 1\n", "6: \(tag)", "6: \(unknown)"),
        Answer(manifest("limits: {pids: !!int 64}"), "6: \(tag)"),
        Answer(manifest() + "<<: {x: 1}\n", "6: merge keys (<<) are not allowed; write the keys out"),
        Answer(manifest() + "\"<<\": 1\n", "6: unknown key \"<<\"; known here: namespace, functions"),
        Answer(
            manifest() + "? [x]\n: 1\n", "6: a key must be a word; write it as name: value, and a text that starts with { or [ in quotes"),
        Answer(
            "namespace: {{ns}}\n" + manifest(),
            "1: a key must be a word; write it as name: value, and a text that starts with { or [ in quotes",
            "1: namespace takes a text, not a mapping; write it as one word or in quotes"),
    ]

    @Test("for a key given again, with both lines", arguments: repeated)
    func checkRepeated(answer: Answer) { #expect(diagnostics(answer.text) == answer.lines) }

    static func again(_ key: String, _ line: Int, first: Int) -> String {
        "\(line): the key \"\(key)\" is given again, first on line \(first); keep one of them"
    }
    static let repeated: [Answer] = [
        Answer(manifest("access: private", "access: private"), again("access", 7, first: 6)),
        Answer(
            manifest("\"access\": private", "'access': private", "access: x"), again("access", 7, first: 6), again("access", 8, first: 6)),
        Answer(
            manifest("env: {A: x, B: y, A: z}", "access: x", "limits: {pids: 64, pids: 65}"),
            again("A", 6, first: 6), "7: unknown access \"x\"; known here: private, public", again("pids", 8, first: 8)),
        Answer(
            "functions:\n" + manifest() + "  hello: {}\n", "1: functions has no value; give it one or remove the key",
            again("functions", 2, first: 1), again("hello", 7, first: 3)),
        Answer(
            manifest("env:", "  é: x", "  \"\\u00e9\": y"), "7: this is no variable's name; \(ManifestSecrecyTests.nameRule)",
            again("é", 8, first: 7)),
        Answer(manifest() + "? [a]\n: 1\n? [a]\n: 2\n", "6: the key is given more than once; keep one of them"),
        // Too many to look for one by one, so that the author is told of one.
        Answer((1...20).map { "k\($0): 1\nk\($0): 2\n" }.joined(), "9: the key \"k5\" is given more than once; keep one of them"),
    ]

    @Test("for more than 32 levels")
    func depth() {
        func nested(_ depth: Int) -> String {
            manifest(
                "triggers: [{cron: \"@daily\", input: " + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}]"
            )
        }
        // functions, hello, triggers, its list and its entry are five levels.
        #expect(diagnostics(nested(27)) == [])
        #expect(diagnostics(nested(28)).contains("6: this is nested more than 32 levels deep; write it flatter"))
    }
}
