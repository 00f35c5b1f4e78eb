import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CasemateWire
import Foundation

/// Looks for values of the namespace's own secrets in the source. The values go to a sandbox in which nothing of a user runs.
struct OwnSecretsCheck: ScanCheck {
    let records: Records
    let vault: Vault
    let network: EgressNetwork

    func examine(_ subject: inout ScanSubject) async throws {
        let namespace = subject.bundle.planned.namespace.id
        let stored = try await records.read { transaction in
            try transaction.functions(in: namespace).map { ($0, try transaction.secrets(of: $0.id)) }
        }
        var fields = ShimFields()
        var count = 0
        for (function, secrets) in stored {
            for secret in try vault.open(secrets, of: function.id, wrappedKey: function.wrappedDataKey) where secret.value.count >= 8 {
                secret.value.withBytes { fields.add(.secret, name: "\(function.name)/\(secret.name)", value: $0) }
                count += 1
            }
        }
        guard count > 0 else { return }
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

    private struct Hit: Decodable {
        var secret: String
        var file: String
        var line: Int?
    }
}
