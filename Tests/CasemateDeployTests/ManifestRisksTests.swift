import CasemateModel
import Testing

@testable import CasemateDeploy

@Suite("What of a manifest takes a second look")
struct ManifestRisksTests {
    private func findings(_ extra: String) throws -> [String] {
        let text = """
            functions:
              a:
                source: ./a
                runtime: python3.11
                handler: a.b
                \(extra)
            """
        let function = try ManifestParser.parse(text, file: "x.yaml").functions[0]
        return ManifestRisks.findings(in: function.spec, file: "x.yaml", lines: function.lines).map {
            "\($0.file):\($0.line ?? 0) \($0.severity) \($0.finding?.rule ?? "")"
        }
    }

    @Test(
        "each relaxed default is a finding with its line",
        arguments: [
            ("env: {REGION: north}", []), ("env: {DB_PASSWORD: hunter2-hunter2}", ["x.yaml:6 error manifest/environment-secret"]),
            ("access: public", ["x.yaml:6 warning manifest/public"]), ("access: private", []),
            ("egress: [\"api.example.com:443\"]", []),
            ("egress: [\"*.api.example.com:443\"]", ["x.yaml:6 warning manifest/wide-egress"]),
            ("egress: [\"192.0.2.0/24:443\"]", ["x.yaml:6 warning manifest/wide-egress"]),
            ("secretsInResponse: allow", ["x.yaml:6 warning manifest/secrets-in-response"]), ("secretsInResponse: block", []),
        ])
    func risk(line: String, expected: [String]) throws { #expect(try findings(line) == expected) }

    @Test("a finding keeps its name when lines or the manifest's file change, and values are not shown")
    func identity() throws {
        var spec = FunctionSpec(runtime: "python3.11", handler: "a.b", environment: [VariableName("API_KEY")!: "0123456789abcdef"])
        let one = ManifestRisks.findings(in: spec, file: "casemate.yaml")
        spec.environment[VariableName("API_KEY")!] = "fedcba9876543210"
        let other = ManifestRisks.findings(in: spec, file: "other.yaml")
        #expect(one.count == 1 && one.first?.finding?.id == other.first?.finding?.id)
        #expect(!"\(one)".contains("0123456789"))
    }
}

@Suite("Waivers")
struct WaiveTests {
    private func diagnostic(_ subject: String) -> Diagnostic {
        Diagnostic(
            file: "a.py", line: 1, what: "w", fix: "f",
            finding: FindingDetail(
                id: FindingId.of("sast", "bandit/B307", file: "a.py", subject: subject)!, check: "sast", rule: "bandit/B307", level: .high))
    }

    private func waiver(_ finding: FindingId, until milliseconds: Int64, reason: String = "r") -> Waiver {
        Waiver(
            id: WaiverId(), namespaceId: NamespaceId(), function: FunctionLabel("a")!, finding: finding, reason: reason,
            expires: Timestamp(milliseconds: milliseconds), created: Timestamp(milliseconds: 0), createdBy: "user:ada")
    }

    @Test("one lets its finding pass, no other, and only until it ends")
    func expiry() throws {
        let (one, other) = (diagnostic("one"), diagnostic("other"))
        let id = try #require(one.finding?.id)
        let waived = Waive.findings([one, other], by: [waiver(id, until: 1000)], at: Timestamp(milliseconds: 999))
        #expect(waived.map(\.severity) == [.warning, .error])
        #expect(waived[0].finding?.waiver?.by == "user:ada" && waived[0].finding?.level == .high)
        let later = Waive.findings([one, other], by: [waiver(id, until: 1000)], at: Timestamp(milliseconds: 1000))
        #expect(later.map(\.severity) == [.error, .error] && later[0].finding?.waiver == nil)
    }

    @Test("one that was in force when a finding was stored does not count once it is gone")
    func stored() throws {
        let id = try #require(diagnostic("one").finding?.id)
        let stored = Waive.findings([diagnostic("one")], by: [waiver(id, until: 1000)], at: Timestamp(milliseconds: 1))
        let now = Waive.findings(stored, by: [], at: Timestamp(milliseconds: 2))
        #expect(now[0].severity == .error && now[0].finding?.waiver == nil)
    }

    @Test("of several the one that lasts longest is told")
    func several() throws {
        let id = try #require(diagnostic("one").finding?.id)
        let waived = Waive.findings(
            [diagnostic("one")], by: [waiver(id, until: 1000, reason: "a"), waiver(id, until: 3000, reason: "b"), waiver(id, until: 2000)],
            at: Timestamp(milliseconds: 1))
        #expect(waived[0].finding?.waiver?.reason == "b")
    }
}

@Suite("What a policy of the gate lets pass more")
struct GatePolicyTests {
    @Test("is told by its name, and nothing where it is stricter")
    func loosened() {
        let strict = GatePolicy(dependencies: .strict, onAdvisory: .disable)
        let loose = GatePolicy(honoursPragmas: true, unscored: .warn, newestDays: 0, maxDependencies: 1000)
        #expect(
            loose.loosened(from: strict) == [
                "dependencies", "honoursPragmas", "unscored", "newestDays", "maxDependencies", "onAdvisory",
            ])
        #expect(strict.loosened(from: loose).isEmpty && strict.loosened(from: strict).isEmpty)
    }
}

@Suite("Times in texts")
struct TimestampTextTests {
    @Test(
        "are taken with a zone, with fractions or without",
        arguments: [
            ("2030-01-31T12:00:00Z", 1_896_091_200_000), ("2030-01-31T12:00:00.250Z", 1_896_091_200_250),
            ("2030-01-31T13:00:00+01:00", 1_896_091_200_000),
        ])
    func taken(text: String, milliseconds: Int64) { #expect(Timestamp(rfc3339: text)?.milliseconds == milliseconds) }

    @Test("are none without a zone, or when nobody could mean them", arguments: ["", "2030-01-31", "tomorrow", "99999-01-01T00:00:00Z"])
    func refused(text: String) { #expect(Timestamp(rfc3339: text) == nil) }
}
