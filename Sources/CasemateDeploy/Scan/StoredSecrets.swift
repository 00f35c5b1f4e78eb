import CasemateModel
import CasemateStore
import CasemateVault

/// Opens stored secrets for the gate's checks, which need their values. Each use stands in the audit log before it happens.
struct StoredSecrets {
    let vault: Vault
    let sources: SecretSources
    let audit: AuditLog
    let records: Records

    /// - Parameter purpose: for the record, in a few words.
    /// - Throws: `.auditUnavailable`; `VaultError`.
    func open(_ sealed: [SealedSecret], of function: Function, for purpose: String) async throws -> [OpenedSecret] {
        guard !sealed.isEmpty else { return [] }
        let names = AuditEvent.listed("secrets", sealed.map { "\($0.name)@\($0.version)" })
        try await record(AuditEvent(.secretUsed, function.auditScope, names.merging(["for": purpose]) { $1 }))
        return try await key(of: function).open(sealed)
    }

    /// A spec with its plain values, as they were before it was stored.
    /// - Throws: `VaultError`.
    func open(_ spec: FunctionSpec, of function: Function) async throws -> FunctionSpec {
        guard spec.sealedEnvironment != nil else { return spec }
        return try await key(of: function).opening(spec)
    }

    func key(of function: Function) async throws -> DataKey {
        do { return try await vault.open(function.wrappedDataKey, of: function.id) } catch {
            // It may have been rotated since the row was read.
            guard let newer = try await records.read({ try $0.function(function.id) })?.wrappedDataKey, newer != function.wrappedDataKey
            else {
                throw error
            }
            return try await vault.open(newer, of: function.id)
        }
    }

    /// Those of a function's own that a deployment works with, by name.
    /// - Throws: `.secretMissing` for one without a value.
    /// - Parameter form: what a value looks like, for whoever has to set it.
    func open(_ names: [VariableName], of name: FunctionName, for purpose: String, form: String = "user:password") async throws
        -> [VariableName: OpenedSecret]
    {
        guard !names.isEmpty else { return [:] }
        let function = try await records.read { try $0.function(name) }
        let sealed = try await records.read { transaction in
            try function.map { try transaction.secrets(of: $0.id) } ?? []
        }.filter { names.contains($0.name) }
        if let missing = names.first(where: { wanted in !sealed.contains { $0.name == wanted } }) {
            throw Problem(
                .secretMissing,
                "the credentials \(missing) of \(purpose) have no value; set \(form): casemate secret set \(name) \(missing)")
        }
        guard let function else { return [:] }
        let opened = try await open(sealed, of: function, for: purpose)
        return Dictionary(uniqueKeysWithValues: opened.map { ($0.name, $0) })
    }

    /// Values that are kept elsewhere.
    /// - Throws: `.auditUnavailable`; `SecretSourceError`.
    func resolve(_ references: [SecretReference], in namespace: Namespace, for purpose: String) async throws -> [OpenedSecret] {
        guard !references.isEmpty else { return [] }
        guard !vault.isSealed else { throw VaultError.sealed }
        let names = AuditEvent.listed("secrets", references.map { "\($0.name)@\($0.from.scheme)" })
        try await record(AuditEvent(.secretUsed, namespace.auditScope, names.merging(["for": purpose]) { $1 }))
        return try await sources.resolve(references)
    }

    private func record(_ event: AuditEvent) async throws {
        do { try await audit.append(AuditContext.current?.completing(event) ?? event) } catch { throw Problem.auditUnavailable }
    }
}
