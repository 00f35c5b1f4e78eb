import CasemateModel
import CasemateStore
import CasemateVault
import CasemateWire

/// A revision with a valid signature, not yet stored. Made only by `Sign`.
public struct SignedRevision: Sendable {
    public let revision: Revision
    let contents: BundleContents
    public let name: FunctionName
    /// The active revision that it was decided on; nil for a function that had none.
    public let before: RevisionId?
    /// Set when the function is new: what to insert with it.
    public let newFunction: Function?

    fileprivate init(revision: Revision, contents: BundleContents, name: FunctionName, before: RevisionId?, newFunction: Function?) {
        self.revision = revision
        self.contents = contents
        self.name = name
        self.before = before
        self.newFunction = newFunction
    }
}

/// Signs bundle digest and spec with the server's key.
struct Sign {
    let records: Records
    let signer: RevisionSigner
    let opener: StoredSecrets

    func callAsFunction(_ scanned: ScannedBundle, by subject: String) async throws -> SignedRevision {
        let planned = scanned.bundle.planned
        let name = planned.name
        // Secrets may have made the function while it was built.
        let existing = try await records.read { try $0.function(name) }
        // Whoever may deploy one function may not deploy another of its name.
        guard planned.existing == nil || existing?.id == planned.existing?.id else {
            throw Problem(.conflict, "\(name) was deleted while it was built; deploy again if it should be made anew")
        }
        let id = existing?.id ?? FunctionId()
        let now = Timestamp.now
        var fresh: Function?
        var sealed = scanned.spec
        if let existing {
            // Without plain values nothing has to be opened: a sealed vault keeps such a function from nothing.
            if !sealed.environment.isEmpty { sealed = try await opener.key(of: existing).sealing(sealed) }
        } else {
            let made = try await opener.vault.newDataKey(for: id)
            sealed = try made.key.sealing(sealed)
            fresh = Function(
                id: id, namespaceId: planned.namespace.id, name: name, activeRevision: nil, wrappedDataKey: made.wrapped, created: now,
                updated: now)
        }
        let number = try await records.read { try $0.nextRevisionNumber(of: id) }
        let spec = try CanonicalSpec.encode(sealed)
        let digest = scanned.bundle.digest.hex
        let revision = Revision(
            id: RevisionId(), functionId: id, number: number, bundleDigest: digest, sourceDigest: planned.sourceDigest, specBytes: spec,
            lock: scanned.bundle.lock, findings: planned.warnings + scanned.findings,
            signature: try signer.sign(function: id, number: number, bundleDigest: digest, spec: spec), created: now, createdBy: subject)
        return SignedRevision(
            revision: revision, contents: BundleContents(components: scanned.components, sbom: scanned.sbom), name: name,
            before: planned.existing?.activeRevision, newFunction: fresh)
    }

    /// The active revision once more, with another spec: what it runs stays as it was built and scanned.
    /// - Throws: `.tampered` when the active revision itself is not as it was signed.
    func callAsFunction(_ active: Revision, of function: Function, spec: FunctionSpec, by subject: String) async throws -> SignedRevision {
        guard signer.isValid(active) else { throw Problem(.tampered, "the revision's signature is not valid") }
        let number = try await records.read { try $0.nextRevisionNumber(of: function.id) }
        let bytes = try CanonicalSpec.encode(spec)
        let revision = Revision(
            id: RevisionId(), functionId: function.id, number: number, bundleDigest: active.bundleDigest, sourceDigest: active.sourceDigest,
            specBytes: bytes, lock: active.lock, findings: active.findings,
            signature: try signer.sign(function: function.id, number: number, bundleDigest: active.bundleDigest, spec: bytes),
            created: .now,
            createdBy: subject)
        return SignedRevision(
            revision: revision, contents: try await records.read { try $0.contents(of: active.id) }, name: function.name,
            before: function.activeRevision, newFunction: nil)
    }
}
