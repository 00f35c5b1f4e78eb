import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CasemateWire
import Foundation

/// Looks for values of the namespace's own secrets in the source. The values go to a sandbox in which nothing of a user runs.
struct OwnSecretsCheck: ScanCheck {
    let records: Records
    let opener: StoredSecrets
    let network: EgressNetwork

    func examine(_ subject: inout ScanSubject) async throws {
        // Words that anybody might write tell nothing.
        let values = try await values(&subject).filter { !$0.secret.isWeak }
        Self.lookAtEnvironment(&subject, values)
        var fields = ShimFields()
        for (owner, secret) in values { secret.value.withBytes { fields.add(.secret, name: "\(owner)/\(secret.name)", value: $0) } }
        guard !values.isEmpty else { return }
        let session = try await ShimSession.open(
            network, profile: subject.spec.runtime, purpose: .run, limits: SandboxPool.startLimits)
        let answer: ShimSession.Answer
        do {
            try await session.waitUntilWarm()
            _ = try await network.warden.order(
                .specialise(sandbox: session.handle.id, bundle: subject.bundle.digest, limits: SandboxPool.startLimits))
            answer = try await session.ask(.scan, fields, expecting: .scanned, within: 120, maximumBody: 1 << 20)
        } catch {
            await session.close()
            throw error
        }
        await session.close()
        guard answer.header.status == 0 else { throw Problem(.gateFailed, "the source could not be searched for stored secrets") }
        for hit in try JSONDecoder().decode([Hit].self, from: Data(answer.body)) {
            subject.findings.append(
                Diagnostic(
                    file: hit.file, line: hit.line, what: "the value of secret \(hit.secret) stands in the source",
                    fix: "remove it, read it from secrets instead, and set a new value: whoever saw the source has the old one"))
        }
    }

    /// The values of the namespace's functions, and what the manifest refers to elsewhere.
    private func values(_ subject: inout ScanSubject) async throws -> [(owner: FunctionName, secret: OpenedSecret)] {
        let planned = subject.bundle.planned
        let stored = try await records.read { transaction in
            try transaction.functions(in: planned.namespace.id).map { ($0, try transaction.secrets(of: $0.id)) }
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
        return values + elsewhere.map { (planned.name, $0) }
    }

    /// What stands in the manifest is no source, and is no less read.
    private static func lookAtEnvironment(_ subject: inout ScanSubject, _ values: [(owner: FunctionName, secret: OpenedSecret)]) {
        let environment = subject.spec.environment.sorted { $0.key < $1.key }
        guard let longest = environment.map(\.value.utf8.count).max() else { return }
        for (owner, secret) in values where secret.value.count <= longest {
            let search = Redactor([Needle(secret)])
            for (name, value) in environment where search.contains(value) {
                subject.findings.append(
                    Diagnostic(
                        file: "casemate.yaml", line: nil, what: "the value of secret \(owner)/\(secret.name) stands in env, as \(name)",
                        fix: "remove it, read it from secrets instead, and set a new value: whoever saw the manifest has the old one"))
            }
        }
    }

    private struct Hit: Decodable {
        var secret: String
        var file: String
        var line: Int?
    }
}
