@testable import CasemateDeploy
import CasemateModel
import Testing

@Suite("A faulty manifest is answered with all its faults, lines and fixes")
struct ManifestFaultsTests {
    @Test("at the top", arguments: top)
    func checkTop(answer: Answer) { #expect(diagnostics(answer.text) == answer.lines) }

    static let labelRule = "is 1 to 63 of a-z, 0-9 and -, and starts and ends with a letter or digit"
    static let top: [Answer] = [
        Answer("a", "1: the manifest takes a mapping, not a single value; write it as name: value lines"),
        Answer("[a]", "1: the manifest takes a mapping, not a list; write it as name: value lines"),
        Answer("{}", " the manifest has no functions; add functions:, then a name: for each"),
        Answer("functions:\n", "1: functions has no value; give it one or remove the key"),
        Answer("functions: {}", "1: functions is empty; add one"),
        Answer("functions: [a]", "1: functions takes a mapping of names, not a list; write it as hello: with its settings below"),
        Answer("functions:\n  a:\n", "2: function \"a\" has no settings; add source, runtime and handler below it"),
        Answer("functions:\n  a: x\n", "2: function \"a\" takes a mapping, not a single value; write it as name: value lines"),
        Answer(
            "functions:\n  a: {}\n", "2: function \"a\" has no source; add source: ./a",
            "2: function \"a\" has no runtime; add runtime: python3.11",
            "2: function \"a\" has no handler; add handler: handler.handle"),
        Answer(
            "functions:\n  A_b: {source: x, runtime: python3.11, handler: a.b}",
            "2: \"A_b\" is no function name; a function name \(labelRule)"),
        Answer("namespace: no\n" + manifest(), "1: namespace is read as a boolean, not as a text; write it in quotes: \"no\""),
        Answer("namespace: 12\n" + manifest(), "1: namespace is read as a number, not as a text; write it in quotes: \"12\""),
        Answer("namespace: Plant\n" + manifest(), "1: \"Plant\" is no namespace name; a namespace name \(labelRule)"),
        Answer("namespace: [a]\n" + manifest(), "1: namespace takes a text, not a list; write it as one word or in quotes"),
        Answer("namespace: ~\n" + manifest(), "1: namespace has no value; give it one or remove the key"),
        Answer("namespce: a\n" + manifest(), "1: unknown key \"namespce\"; did you mean \"namespace\"?"),
        Answer("x: 1\n" + manifest(), "1: unknown key \"x\"; known here: namespace, functions"),
    ]

    @Test("in a function's code", arguments: code)
    func checkCode(answer: Answer) { #expect(diagnostics(answer.text) == answer.lines) }

    static func function(_ source: String, _ runtime: String = "python3.11", _ handler: String = "a.b") -> String {
        "functions:\n  a:\n    source: \(source)\n    runtime: \(runtime)\n    handler: \(handler)\n"
    }
    static let path = "write a path below the manifest's folder, like ./hello"
    static let hash = String(repeating: "0a", count: 20)
    static let code: [Answer] = [
        Answer(function("/x"), "3: source \"/x\" is not relative; \(path)"),
        Answer(function("~/x"), "3: source \"~/x\" is not relative; \(path)"),
        Answer(function("../x"), "3: source \"../x\" leaves its folder by ..; \(path)"),
        Answer(function("x/../y"), "3: source \"x/../y\" leaves its folder by ..; \(path)"),
        Answer(function("'x\\y'"), "3: source \"x\\\\y\" holds a \\ or a control character; \(path)"),
        Answer(function("\"\""), "3: source is empty; \(path)"),
        Answer(function("https://u:pw@x/y"), "3: source is a URL; \(path)"),
        Answer(function("2026"), "3: source is read as a number, not as a text; write it in quotes: \"2026\""),
        Answer(function("[x]"), "3: source takes a text, not a list; write it as one word or in quotes"),
        Answer(
            function("{git: {url: https//u:hunter2@x, ref: -x}}"),
            "3: source.git.url is no https:// or ssh:// URL of a repository; write it as https://git.example.com/plant/code.git, or ssh://git@git.example.com/plant/code.git",
            "3: source.git.ref \"-x\" is no commit, branch or tag; write a commit's 40 or 64 hexadecimal digits; a branch is taken as it is when it is deployed"
        ),
        Answer(
            function("{git: {rev: x}}"), "3: unknown key \"rev\"; did you mean \"ref\"?",
            "3: source.git has no url; add url: https://git.example.com/plant/code.git",
            "3: source.git has no ref; add ref: with a commit's whole id, or a branch"),
        Answer(
            function("{gti: x}"), "3: unknown key \"gti\"; did you mean \"git\"?", "3: source has no git; add a folder: source: ./hello"),
        Answer(function("x", "python311"), "4: unknown runtime \"python311\"; did you mean \"python3.11\"?"),
        Answer(function("x", "Pyhton3.11"), "4: unknown runtime \"Pyhton3.11\"; did you mean \"python3.11\"?"),
        Answer(function("x", "python3.12"), "4: unknown runtime \"python3.12\"; known here: python3.11"),
        Answer(function("x", "3.11"), "4: unknown runtime \"3.11\"; known here: python3.11"),
        Answer(function("x", "nodejs20"), "4: unknown runtime \"nodejs20\"; known here: python3.11"),
        Answer(function("x", "\"py\\e[31m\""), "4: unknown runtime \"py\\u{1b}[31m\"; known here: python3.11"),
        Answer(function("x", "[python3.11]"), "4: runtime takes one word, not a list; write one of: python3.11"),
        Answer(
            function("x", "python3.11", "handler"),
            "5: handler \"handler\" is not file.function; write it as \"handler.handle\" or \"folder/file.function\""),
        Answer(function("x", "python3.11", "a.py.run"), "5: handler \"a.py.run\" is not file.function; write it as \"a.run\""),
        Answer(
            function("x", "python3.11", String(repeating: "h", count: 61)),
            "5: handler \"\(String(repeating: "h", count: 60))…\" is not file.function; write it as \"handler.handle\" or \"folder/file.function\""
        ),
        .line6("signature: kyma", "signature \"kyma\" is not available yet; remove it"),
        .line6("signature: azure", "signature \"azure\" is not available yet; remove it"),
        .line6("signature: cognit", "unknown signature \"cognit\"; did you mean \"cognite\"?"),
        .line6("signature: aws-lambda", "unknown signature \"aws-lambda\"; known here: cognite, scaleway, kyma, azure"),
        .line6("access: open", "unknown access \"open\"; known here: private, public"),
        .line6("access: yes", "unknown access \"yes\"; known here: private, public"),
    ]

    @Test(
        "in a handler",
        arguments: ["a.b.c", "a/b", ".b", "a.", "/a.b", "a/.b", "a//b.c", "1a.b", "-a.b", "a.b-c", "a.1b", "ä.b", "a b.c", "../a.b"])
    func handlers(handler: String) {
        #expect(diagnostics(Self.function("x", "python3.11", "\"\(handler)\"")).first?.contains("is not file.function") == true)
    }

    @Test("in limits and scale", arguments: limits)
    func checkLimits(answer: Answer) { #expect(diagnostics(answer.text) == answer.lines) }

    static let size = "takes a size in KiB, MiB or GiB, not"
    static let duration = "takes a duration in ms, s, m or h, not"
    static let limits: [Answer] = [
        .line6("egress: [\"api.example.com\"]", "\"api.example.com\" is not HOST:PORT, under egress; write it as \"api.example.com:443\""),
        .line6(
            "egress: [\"[::1]:443\"]",
            "\"[::1]:443\" names an address, under egress; list the name that stands for it; addresses are written as 192.0.2.7:443 or "
                + "192.0.2.0/24:443, IPv4 only"),
        .line6("egress: [\"a.org:443\", \"A.org.:443\"]", "a.org:443 is given again, first on line 6; keep one of them"),
        .line6("egress: a.org:443", "egress takes a list, not a single value; write it as [\"api.example.com:443\"]"),
        .line6("egress: {a.org: 443}", "egress takes a list, not a mapping; write it as [\"api.example.com:443\"]"),
        .line6("egress: [443]", "an entry of egress is read as a number, not as a text; write it in quotes: \"443\""),
        .line6("limits: 256MiB", "limits takes a mapping, not a single value; write it as name: value lines"),
        .line6("limits: {memroy: 256MiB}", "unknown key \"memroy\"; did you mean \"memory\"?"),
        .line6("limits: {disk: 1GiB}", "unknown key \"disk\"; known here: memory, cpu, timeout, concurrency, tmp, pids"),
        .line6("limits: {memory: }", "limits.memory has no value; give it one or remove the key"),
        .line6("limits: {memory: 64MB}", "limits.memory \(size) \"64MB\"; write it as \"64MiB\""),
        .line6("limits: {memory: 256Mi}", "limits.memory \(size) \"256Mi\"; write it as \"256MiB\""),
        .line6("limits: {memory: 256 MiB}", "limits.memory \(size) \"256 MiB\"; write it as \"256MiB\""),
        .line6("limits: {memory: 256}", "limits.memory \(size) \"256\"; write it as \"256MiB\""),
        .line6("limits: {memory: 1.5GiB}", "limits.memory \(size) \"1.5GiB\"; write it as \"256MiB\""),
        .line6("limits: {memory: 268435456}", "limits.memory \(size) \"268435456\"; write it as \"256MiB\""),
        .line6("limits: {memory: 16MiB}", "limits.memory \"16MiB\" is out of range; choose from 32MiB to 16GiB"),
        .line6("limits: {memory: 17GiB}", "limits.memory \"17GiB\" is out of range; choose from 32MiB to 16GiB"),
        .line6(
            "limits: {tmp: 99999999999999999999GiB}", "limits.tmp \"99999999999999999999GiB\" is out of range; choose from 1MiB to 4GiB"),
        .line6("limits: {tmp: [1]}", "limits.tmp \(size) a list; write it as \"64MiB\""),
        .line6("limits: {cpu: 500m}", "limits.cpu takes a number of cores, not \"500m\"; write it as 0.5"),
        .line6("limits: {cpu: 1.0005}", "limits.cpu takes a number of cores, not \"1.0005\"; write it as 0.5"),
        .line6("limits: {cpu: 0.049}", "limits.cpu \"0.049\" is out of range; choose from 0.05 to 16"),
        .line6("limits: {cpu: 99999999999999999999}", "limits.cpu \"99999999999999999999\" is out of range; choose from 0.05 to 16"),
        .line6("limits: {timeout: 60}", "limits.timeout \(duration) \"60\"; write it as \"60s\""),
        .line6("limits: {timeout: 5min}", "limits.timeout \(duration) \"5min\"; write it as \"5m\""),
        .line6("limits: {timeout: 1h30m}", "limits.timeout \(duration) \"1h30m\"; write it as \"60s\""),
        .line6("limits: {timeout: 16m}", "limits.timeout \"16m\" is out of range; choose from 100ms to 15m"),
        .line6("limits: {pids: many}", "limits.pids takes a whole number, not \"many\"; write it as 64"),
        .line6("limits: {pids: 064}", "limits.pids takes a whole number, not \"064\"; write it as 64"),
        .line6("limits: {pids: -1}", "limits.pids takes a whole number, not \"-1\"; write it as 64"),
        .line6("limits: {pids: 1025}", "limits.pids \"1025\" is out of range; choose from 4 to 1024"),
        .line6("limits: {concurrency: 0}", "limits.concurrency \"0\" is out of range; choose from 1 to 256"),
        .line6(
            "limits: {concurrency: 60}", "limits.concurrency 60 needs as many threads, and limits.pids is 64; write pids: 76 beside it"),
        .line6("scale: {max: 0}", "scale.max \"0\" is out of range; choose from 1 to 100"),
        .line6("scale: {idle: 10}", "scale.idle \(duration) \"10\"; write it as \"10s\""),
        .line6("scale: {idle: 25h}", "scale.idle \"25h\" is out of range; choose from 1s to 24h"),
        .line6("scale: {min: 3, max: 2}", "scale.min 3 is above scale.max 2; raise scale.max"),
        .line6("scale: {mim: 1}", "unknown key \"mim\"; did you mean \"min\"?"),
    ]

    @Test("of many kinds at once, sorted by line")
    func together() {
        let text = """
            namespace: Plant
            functions:
              a:
                limits: {memory: 1}
                source: ./a
                runtime: python3.11
                handler: a.b
                access: public
              b:
                source: ./b
            namespce: x
            """
        #expect(
            diagnostics(text) == [
                "1: \"Plant\" is no namespace name; a namespace name \(Self.labelRule)",
                "4: limits.memory \(Self.size) \"1\"; write it as \"1MiB\"",
                "9: function \"b\" has no runtime; add runtime: python3.11",
                "9: function \"b\" has no handler; add handler: handler.handle",
                "11: unknown key \"namespce\"; did you mean \"namespace\"?",
            ])
    }

    @Test("but not more than 100 lines of them")
    func cap() {
        let answer = diagnostics(manifest() + (1...5000).map { "x\($0): 1\n" }.joined())
        #expect(answer.count == 101)
        #expect(answer[0] == "6: unknown key \"x1\"; known here: namespace, functions")
        #expect(answer[100] == " 4900 more faults are not shown; correct those above and try again")
    }
}
