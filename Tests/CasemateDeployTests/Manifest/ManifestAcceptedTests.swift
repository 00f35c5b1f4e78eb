@testable import CasemateDeploy
import CasemateModel
import Testing

@Suite("A sound manifest")
struct ManifestAcceptedTests {
    @Test("gives all its settings, functions in the order of the file, secrets by name")
    func everything() throws {
        let text = """
            # the plant's functions
            namespace: plant
            functions:
              zebra:
                source: ./anomaly
                runtime: python3.11
                handler: folder-1/sub/my-handler.handle_it
                signature: cognite
                access: private
                callers: []
                capabilities: [other/lookup:logs:read, plant/lookup:function:invoke]
                identity: ["https://sts.example.com", "api://plant"]
                egress: []
                secrets: [TOKEN, API_KEY, {name: DB}, {name: URL_KEY, from: "aws-sm://prod/db?stage=AWSPREVIOUS"}]
                secretsInResponse: block
                inputSchema: {headers: ./headers.json}
                dependencies: {policy: strict, index: "", packages: {}}
                gate: {}
                env: {REGION: north, DEBUG: "true", "N": '1', EMPTY: "", LINES: "a\\tb\\nc", URL: http://x/?a=1&b=*c}
                isolate: instance
                limits: {memory: 1GiB, cpu: 0.25, timeout: 500ms, concurrency: 4, tmp: "65536KiB", pids: 128}
                scale: {min: 2, max: 100, idle: 1h}
                triggers: []
              apple:
                source: .
                runtime: "python3.11"
                handler: a.b
                isolate: call
            """
        let manifest = try ManifestParser.parse(text, file: "casemate.yaml")
        var zebra = FunctionSpec(
            runtime: "python3.11", handler: "folder-1/sub/my-handler.handle_it", signature: .cognite,
            environment: Dictionary(
                uniqueKeysWithValues: [
                    "REGION": "north", "DEBUG": "true", "N": "1", "EMPTY": "", "LINES": "a\tb\nc", "URL": "http://x/?a=1&b=*c",
                ].map { (VariableName($0)!, $1) }),
            secrets: ["API_KEY", "DB", "TOKEN", "URL_KEY"].map { VariableName($0)! },
            limits: .init(
                memoryInBytes: 1 << 30, cpuInMillicores: 250, timeoutInMilliseconds: 500, tmpInBytes: 64 << 20, pids: 128, concurrency: 4),
            scale: .init(max: 100, idleInMilliseconds: 3_600_000, min: 2))
        zebra.capabilities = ["other/lookup:logs:read", "plant/lookup:invoke"].map { Capability($0)! }
        zebra.references = [
            SecretReference(name: VariableName("URL_KEY")!, from: ExternalSecret("aws-sm://prod/db?stage=AWSPREVIOUS")!)
        ]
        zebra.secretsInResponse = .block
        zebra.inputSchema = InputSchemas(headers: .init(path: "headers.json"))
        zebra.audiences = ["api://plant", "https://sts.example.com"]
        let expected = Manifest(
            namespace: NamespaceName("plant"),
            functions: [
                FunctionManifest(
                    label: FunctionLabel("zebra")!, line: 4, source: "./anomaly", sourceLine: 5, spec: zebra, dependencyPolicy: .strict),
                FunctionManifest(
                    label: FunctionLabel("apple")!, line: 24, source: ".", sourceLine: 25,
                    spec: FunctionSpec(runtime: "python3.11", handler: "a.b", isolation: .call)),
            ])
        let lines = manifest.functions.map(\.lines)
        var unplaced = manifest
        for index in unplaced.functions.indices { unplaced.functions[index].lines = ManifestLines() }
        #expect(unplaced == expected)
        #expect(lines[0].environment.keys.sorted() == zebra.environment.keys.sorted())
        #expect(lines[0].egress != nil && lines[1].egress == nil)
    }

    @Test("leaves what it doesn't say to the defaults")
    func defaults() throws {
        #expect(try spec() == FunctionSpec(runtime: "python3.11", handler: "handler.handle"))
        #expect(try ManifestParser.parse(manifest(), file: "x").namespace == nil)
        #expect(try ManifestParser.parse(manifest(), file: "x").functions[0].dependencyPolicy == .auto)
    }

    @Test("may be public, which is the gate's to warn of")
    func publicAccess() throws {
        #expect(diagnostics(manifest("access: public")).isEmpty)
        #expect(try ManifestParser.parse(manifest("access: public"), file: "x").functions[0].lines.access == 6)
        #expect(try spec("access: public").access == .public)
    }

    @Test(
        "takes these quantities",
        arguments: [
            ("limits: {cpu: 1.0}", 1000), ("limits: {cpu: 2}", 2000), ("limits: {cpu: 0.5}", 500), ("limits: {cpu: 0.05}", 50),
            ("limits: {cpu: 0.1250}", 125), ("limits: {cpu: 16}", 16_000),
        ])
    func cores(line: String, millicores: UInt32) throws {
        #expect(try spec(line).limits.cpuInMillicores == millicores)
    }

    @Test(
        "takes these durations",
        arguments: [("100ms", 100), ("60s", 60_000), ("15m", 900_000), ("\"10m\"", 600_000)])
    func durations(text: String, milliseconds: Int) throws {
        #expect(try spec("limits: {timeout: \(text)}").limits.timeoutInMilliseconds == milliseconds)
    }

    @Test("may start with a byte order mark and ---, end its lines with CR LF, and hold what looks like an alias in a text")
    func harmlessYAML() throws {
        let text = "\u{FEFF}---\n" + manifest("env: {A: \"x *a & *b !c\", B: what? yes}", "secrets:", "- A1", "- B1")
        let crlf = text.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n")
        for text in [text, crlf] {
            let function = try ManifestParser.parse(text, file: "x").functions[0]
            #expect(function.line == 3)
            #expect(function.spec.environment[VariableName("A")!] == "x *a & *b !c")
            #expect(function.spec.secrets.count == 2)
        }
    }

    @Test("is what an empty one is told to start with")
    func example() throws {
        let answer = diagnostics("")
        #expect(answer.count == 1)
        let start = " the manifest is empty; start with\n"
        #expect(answer[0].hasPrefix(start))
        #expect(try ManifestParser.parse(String(answer[0].dropFirst(start.count)), file: "x").functions.count == 1)
        for empty in ["\n", "# only this\n", "---\n", "--- # a\n...\n", "~", "null", "\u{FEFF}"] { #expect(diagnostics(empty) == answer) }
    }

    @Test("may have 100 functions, not 101")
    func count() throws {
        func functions(_ count: Int) -> String {
            "functions:\n" + (1...count).map { "  f\($0): {source: x, runtime: python3.11, handler: a.b}\n" }.joined()
        }
        #expect(try ManifestParser.parse(functions(100), file: "x").functions.count == 100)
        #expect(diagnostics(functions(101)) == ["102: there are more than 100 functions; split the manifest"])
    }
}
