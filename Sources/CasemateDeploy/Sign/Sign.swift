import CasemateModel
import CasemateStore
import CasemateVault
import CasemateWire

/// A revision with a valid signature, not yet stored. Made only by `Sign`.
public struct SignedRevision: Sendable {
    public let revision: Revision
    public let planned: PlannedFunction
    /// Set when the function is new: what to insert with it.
    public let newFunction: Function?

    fileprivate init(revision: Revision, planned: PlannedFunction, newFunction: Function?) {
        self.revision = revision
        self.planned = planned
        self.newFunction = newFunction
    }
}

/// Signs bundle digest and spec with the server's key.
struct Sign {
    let records: Records
    let signer: RevisionSigner
    let vault: Vault

    func callAsFunction(_ scanned: ScannedBundle, by subject: String) async throws -> SignedRevision {
        let planned = scanned.bundle.planned
        let name = planned.name
        // Secrets may have made the function while it was built.
        let existing = try await records.read { try $0.function(name) }
        let id = existing?.id ?? FunctionId()
        let now = Timestamp.now
        var fresh: Function?
        if existing == nil {
            fresh = Function(
                id: id, namespaceId: planned.namespace.id, name: name, activeRevision: nil, wrappedDataKey: try vault.newDataKey(for: id),
                created: now, updated: now)
        }
        let number = try await records.read { try $0.nextRevisionNumber(of: id) }
        let spec = try CanonicalSpec.encode(scanned.spec)
        let digest = scanned.bundle.digest.hex
        let revision = Revision(
            id: RevisionId(), functionId: id, number: number, bundleDigest: digest, sourceDigest: planned.sourceDigest, specBytes: spec,
            lock: scanned.bundle.lock, findings: planned.warnings + scanned.findings,
            signature: try signer.sign(function: id, number: number, bundleDigest: digest, spec: spec), created: now, createdBy: subject)
        return SignedRevision(revision: revision, planned: planned, newFunction: fresh)
    }
}
