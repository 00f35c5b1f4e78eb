import CasemateDeploy
import CasemateInvoke
import CasemateModel
import CasemateStore
import CasemateVault
import Synchronization

/// Brings what the records say into the catalogue that calls read.
final class CatalogLoader: Sendable {
    let records: Records
    let catalog: Catalog
    let signer: RevisionSigner
    private let listener: Mutex<(@Sendable (FunctionId) async -> Void)?> = Mutex(nil)
    /// Their counts outlive a reload.
    private let splits = Mutex<[FunctionId: (stored: RevisionSplit, split: Split)]>([:])

    init(records: Records, catalog: Catalog, signer: RevisionSigner) {
        self.records = records
        self.catalog = catalog
        self.signer = signer
    }

    /// Told when a function's schedules may be others.
    func onReload(_ body: @Sendable @escaping (FunctionId) async -> Void) { listener.withLock { $0 = body } }

    func loadAll() async throws {
        for function in try await records.read({ try $0.functions() }) { try await reload(function.id) }
    }

    /// Returns when the next call sees the function as it is stored now.
    /// - Parameter loadInMilliseconds: how long its handler took to load just now, if it was.
    func reload(_ id: FunctionId, loadInMilliseconds: Int? = nil) async throws {
        // Within a write: one after the other, so that none puts back what another has just replaced.
        try await records.write { [self] transaction in
            let found = try deployed(id, transaction, loadInMilliseconds)
            if let found { catalog.put(found) } else { catalog.remove(id) }
            if let found, let revision = found.revision {
                try transaction.setManifestSchedules(found.spec?.schedules ?? [], of: id, by: revision.createdBy)
            }
        }
        await listener.withLock { $0 }?(id)
    }

    /// Some of the function's former values are gone: it goes on as it is, without them.
    func reloadFormerSecrets(of id: FunctionId) async throws {
        try await records.write { [catalog] transaction in
            catalog.put(formerSecrets: try transaction.formerSecrets(of: id).map(\.secret), of: id)
        }
    }

    private func deployed(_ id: FunctionId, _ transaction: Transaction, _ loadInMilliseconds: Int?) throws -> Deployed? {
        let stored = try transaction.split(of: id)
        splits.withLock { if $0[id]?.stored != stored { $0[id] = nil } }
        guard let function = try transaction.function(id) else { return nil }
        let policy = try transaction.policy(of: function.namespaceId)
        let (secrets, formerSecrets) = (try transaction.secrets(of: id), try transaction.formerSecrets(of: id).map(\.secret))
        func made(_ revision: Revision?, split: Split?, other: Deployed? = nil) throws -> Deployed {
            var revision = revision
            let granted = try transaction.grantedEgress(to: revision, of: function)
            let untrusted = try revision.flatMap { try refusal(of: $0, policy.supplyChain, transaction) }
            // For people: no call needs them in memory.
            revision?.findings = []
            return Deployed(
                id: function.id, namespaceId: function.namespaceId, name: function.name, revision: revision,
                spec: try revision.map { try CanonicalSpec.decode($0.specBytes) }, wrappedDataKey: function.wrappedDataKey,
                secrets: secrets, formerSecrets: formerSecrets, loadInMilliseconds: loadInMilliseconds, granted: granted, policy: policy,
                disabled: function.disabled, untrusted: untrusted,
                signerKey: revision.flatMap(signer.keyId) ?? "", split: split, other: other)
        }
        let active = try function.activeRevision.flatMap { try transaction.revision($0) }
        guard active != nil, let stored, let other = try transaction.revision(stored.revision) else {
            return try made(active, split: nil)
        }
        let split = split(stored, other, of: id)
        let tried = try made(other, split: split)
        // Its calls would be refused.
        guard tried.untrusted == nil else { return try made(active, split: nil) }
        return try made(active, split: split, other: tried)
    }

    private func split(_ stored: RevisionSplit, _ other: Revision, of id: FunctionId) -> Split {
        splits.withLock { splits in
            if let known = splits[id] { return known.split }
            let made = Split(percent: stored.percent, returnAbove: stored.returnAbove) { [weak self] calls, failed in
                Task { await self?.takeBackSurely(stored, other, of: id, calls: calls, failed: failed) }
            }
            splits[id] = (stored, made)
            return made
        }
    }

    /// Why no call may run `revision`; nil where calls may.
    private func refusal(of revision: Revision, _ policy: SupplyChainPolicy, _ transaction: Transaction) throws -> String? {
        guard policy.requireSignature || policy.requireReview || !revision.needsApproval.isEmpty else { return nil }
        // What was tampered with is told when it is to start, as that.
        guard signer.isValid(revision) else { return nil }
        let approvals = try transaction.approvals(of: revision.id).filter { signer.isValid($0, of: revision) }
        // Whatever its row says of its state. What was promoted brings older approvals, which say nothing of what has to be approved here.
        if !revision.needsApproval.isEmpty, !approvals.contains(where: { $0.created >= revision.created }) {
            return "it waits for an approval"
        }
        return policy.refusal(of: revision, isReviewed: !approvals.isEmpty)
    }

    /// In memory it has gone back already; what is stored must follow.
    private func takeBackSurely(_ split: RevisionSplit, _ other: Revision, of id: FunctionId, calls: Int, failed: Int) async {
        for _ in 0..<600 {
            do { return try await takeBack(split, other, of: id, calls: calls, failed: failed) } catch {
                try? await Task.sleep(for: .seconds(1))
            }
        }
    }

    /// Too many calls of a trial failed.
    private func takeBack(_ split: RevisionSplit, _ other: Revision, of id: FunctionId, calls: Int, failed: Int) async throws {
        try await records.write { transaction in
            guard let function = try transaction.function(id), try transaction.split(of: id) == split else { return }
            try transaction.set(nil, of: id)
            transaction.record(
                AuditEvent(
                    .splitReturned, function.auditScope, outcome: .failed, actor: "server",
                    ["revision": "\(other.number)", "calls": "\(calls)", "failed": "\(failed)"]))
        }
        try await reload(id)
    }
}
