import CasemateDeploy
import CasemateInvoke
import CasemateModel
import CasemateStore

/// Brings what the records say into the catalogue that calls read.
struct CatalogLoader: Sendable {
    let records: Records
    let catalog: Catalog

    func loadAll() async throws {
        for function in try await records.read({ try $0.functions() }) { try await reload(function.id) }
    }

    /// Returns when the next call sees the function as it is stored now.
    /// - Parameter loadInMilliseconds: how long its handler took to load just now, if it was.
    func reload(_ id: FunctionId, loadInMilliseconds: Int? = nil) async throws {
        // Within a write: one after the other, so that none puts back what another has just replaced.
        try await records.write { transaction in
            let found = try Self.deployed(id, transaction, loadInMilliseconds)
            if let found { catalog.put(found) } else { catalog.remove(id) }
        }
    }

    /// Some of the function's former values are gone: it goes on as it is, without them.
    func reloadFormerSecrets(of id: FunctionId) async throws {
        try await records.write { transaction in catalog.put(formerSecrets: try transaction.formerSecrets(of: id).map(\.secret), of: id) }
    }

    private static func deployed(_ id: FunctionId, _ transaction: Transaction, _ loadInMilliseconds: Int?) throws -> Deployed? {
        guard let function = try transaction.function(id) else { return nil }
        var revision = try function.activeRevision.flatMap { try transaction.revision($0) }
        // For people: no call needs them in memory.
        revision?.findings = []
        return Deployed(
            id: function.id, namespaceId: function.namespaceId, name: function.name, revision: revision,
            spec: try revision.map { try CanonicalSpec.decode($0.specBytes) }, wrappedDataKey: function.wrappedDataKey,
            secrets: try transaction.secrets(of: id), formerSecrets: try transaction.formerSecrets(of: id).map(\.secret),
            loadInMilliseconds: loadInMilliseconds,
            granted: Set(try transaction.grantedEgress(of: function.name.function, in: function.namespaceId)),
            policy: try transaction.policy(of: function.namespaceId), disabled: function.disabled)
    }
}
