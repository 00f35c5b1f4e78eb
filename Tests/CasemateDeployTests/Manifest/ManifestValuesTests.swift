import Testing

@Suite("A key of a few values")
struct ManifestValuesTests {
    static let schema = "write a path below the source's folder, like schema.json"

    @Test("is refused for its value when that is wrong", arguments: answers)
    func check(answer: Answer) { #expect(diagnostics(answer.text) == answer.lines) }

    static let answers: [Answer] = [
        .line6("callers: [ingest]", "\"ingest\" under callers is not NAMESPACE/FUNCTION; write it as \"plant/ingest\""),
        .line6("callers: plant/ingest", "callers takes a list, not a single value; write it as [\"plant/ingest\"]"),
        .line6("callers: [~]", "callers has an empty entry; remove it"),
        .line6("egress: [*.example.com:443]", "a value can't start with * or &; write it in quotes"),
        .line6("secretsInResponse: blok", "unknown secretsInResponse \"blok\"; did you mean \"block\"?"),
        .line6("inputSchema: /schema.json", "inputSchema \"/schema.json\" is not relative; \(schema)"),
        .line6("inputSchema: {body: ../schema.json}", "inputSchema.body \"../schema.json\" leaves its folder by ..; \(schema)"),
        .line6("inputSchema: \"\"", "inputSchema is empty; \(schema)"),
        .line6("inputSchema: {qery: q.json}", "unknown key \"qery\"; did you mean \"query\"?"),
        .line6("inputSchema: [schema.json]", "inputSchema takes a text, not a list; write it as one word or in quotes"),
        .line6(
            "dependencies: {index: \"https://u:hunter2@x/\"}",
            "dependencies.index is no name of dependencies.indexes; add the index there, and write its name here"),
        .line6(
            "dependencies: {index: corp}",
            "dependencies.index names \"corp\", which dependencies.indexes does not have; add it there: corp: {url: https://…}"),
        .line6(
            "dependencies: {indexes: {corp: {url: \"http://x.example/simple\"}}}",
            "dependencies.indexes.corp.url is no https:// URL of a host; write it as https://pypi.corp.example/simple"),
        .line6(
            "dependencies: {indexes: {corp: {url: \"https://u:hunter2@x.example/simple\"}}}",
            "dependencies.indexes.corp.url holds credentials; name a secret with user:password instead: credentials: CORP_INDEX"),
        .line6("dependencies: {indexes: {corp: {}}}", "dependencies.indexes.corp has no url; add url: https://pypi.corp.example/simple"),
        .line6("dependencies: {fromSource: [\"a/b\"]}", "\"a/b\" is no package's name; write its name"),
        .line6("dependencies: {index: 1234}", "dependencies.index is read as a number, not as a text; write it in quotes"),
        .line6(
            "dependencies: {packages: {numpy: corp}}",
            "the index of \"numpy\" names \"corp\", which dependencies.indexes does not have; add it there: corp: {url: https://…}"),
        .line6("dependencies: {packages: [numpy]}", "dependencies.packages takes a mapping, not a list; write it as corp-lib: corp"),
        .line6("dependencies: {policy: srict}", "unknown policy \"srict\"; did you mean \"strict\"?"),
        .line6("dependencies: strict", "dependencies takes a mapping, not a single value; write it as name: value lines"),
        .line6("gate: {test: make}", "gate.test begins with no tool for it; write pytest or unittest, and what it is told"),
        .line6("gate: {type: pytest}", "gate.type begins with no tool for it; write mypy, and what it is told"),
        .line6("gate: {test: \"pytest -k 'a\"}", "gate.test has a quote that is not closed; close it"),
        .line6("gate: {tests: pytest}", "unknown key \"tests\"; did you mean \"test\"?"),
        .line6("gate: {lint: false}", "gate.lint is read as a boolean, not as a text; write it in quotes: \"false\""),
        .line6("isolate: proces", "unknown isolate \"proces\"; known here: instance, call"),
        .line6("triggers: [{timezone: Etc/UTC}]", "this trigger has no cron; add cron: \"0 * * * *\""),
        .line6("triggers: [{crn: x, cron: \"0 0 * * *\"}]", "unknown key \"crn\"; did you mean \"cron\"?"),
        .line6("triggers: [daily]", "a trigger takes a mapping, not a single value; write it as name: value lines"),
    ]
}
