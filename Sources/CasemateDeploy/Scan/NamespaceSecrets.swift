import CasemateModel
import CasemateStore
import CasemateVault

/// Values that must not stand in a source: those of the namespace's functions, and what the manifest refers to elsewhere.
struct NamespaceSecrets {
    let records: Records
    let opener: StoredSecrets

    /// Without words that anybody might write: they tell nothing. What does not open becomes a warning in `subject`.
    func values(_ subject: inout ScanSubject) async throws -> [(owner: FunctionName, secret: OpenedSecret)] {
        let planned = subject.bundle.planned
        let stored = try await records.read { transaction in
            try transaction.functions(in: planned.namespace.id).map { function in
                // Also what can be gone back to.
                (function, try transaction.secrets(of: function.id) + transaction.formerSecrets(of: function.id).map(\.secret))
            }
        }
        var values: [(FunctionName, OpenedSecret)] = []
        for (function, secrets) in stored {
            do {
                values += try await opener.open(secrets, of: function, for: "scan of \(planned.name)").map { (function.name, $0) }
            } catch VaultError.tampered {
                // What does not open is lost to everybody; it keeps nobody else from deploying.
                subject.findings.append(
                    Diagnostic(
                        .warning, file: "\(function.name)", line: nil, what: "its secrets do not open, so that they were not looked for",
                        fix: "set them again"))
            }
        }
        let elsewhere = try await opener.resolve(subject.spec.references ?? [], in: planned.namespace, for: "scan of \(planned.name)")
        return (values + elsewhere.map { (planned.name, $0) }).filter { !$0.1.isWeak }
    }

    /// What stands in the manifest is no source, and is no less read.
    static func lookAtEnvironment(_ subject: inout ScanSubject, _ values: [(owner: FunctionName, secret: OpenedSecret)]) {
        let environment = subject.spec.environment.sorted { $0.key < $1.key }
        guard let longest = environment.map(\.value.utf8.count).max() else { return }
        let lines = subject.bundle.planned.manifest.lines.environment
        for (owner, secret) in values where secret.value.count <= longest {
            let search = Redactor([Needle(secret)])
            for (name, value) in environment where search.contains(value) {
                let rule = "own-secrets/environment"
                guard let id = FindingId.of("own-secrets", rule, file: "casemate.yaml", subject: "\(name) \(owner)/\(secret.name)") else {
                    continue
                }
                subject.findings.append(
                    Diagnostic(
                        file: subject.bundle.planned.manifestFile, line: lines[name],
                        what: "the value of secret \(owner)/\(secret.name) stands in env, as \(name)",
                        fix: "remove it, read it from secrets instead, and set a new value: whoever saw the manifest has the old one",
                        finding: FindingDetail(
                            id: id, check: "own-secrets", rule: rule, level: .high, guarantee: "COG-7",
                            enforcedBy: "secrets: [\(name)]")))
            }
        }
    }
}
