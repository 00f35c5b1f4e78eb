import CasemateModel
import CasemateStore
import CasemateVault
import CasemateWire

/// A revision with a valid signature, not yet stored. Made only by `Sign`.
public struct SignedRevision: Sendable {
    public let revision: Revision
    let contents: BundleContents
    let evidence: RevisionEvidence
    /// Those that it brings from where it was promoted.
    let approvals: [Approval]
    public let name: FunctionName
    /// The active revision that it was decided on; nil for a function that had none.
    public let before: RevisionId?
    /// Set when the function is new: what to insert with it.
    public let newFunction: Function?

    fileprivate init(
        revision: Revision, contents: BundleContents, evidence: RevisionEvidence, approvals: [Approval] = [], name: FunctionName,
        newFunction: Function?
    ) {
        self.revision = revision
        self.contents = contents
        self.evidence = evidence
        self.approvals = approvals
        self.name = name
        before = revision.base
        self.newFunction = newFunction
    }
}

/// Who deploys.
public struct DeployAuthor: Sendable {
    /// For people to read.
    public var subject: String
    /// Never another's.
    public var identity: String

    public init(subject: String, identity: String) {
        self.subject = subject
        self.identity = identity
    }
}

/// Writes down how a revision came to be, and signs both with the server's key.
struct Sign {
    let records: Records
    let signer: RevisionSigner
    let opener: StoredSecrets

    /// - Parameter started: when its deployment began.
    func callAsFunction(_ scanned: ScannedBundle, by author: DeployAuthor, since started: Timestamp) async throws -> SignedRevision {
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
        var revision = Revision(
            id: RevisionId(), functionId: id, number: number, bundleDigest: scanned.bundle.digest.hex, sourceDigest: planned.sourceDigest,
            specBytes: try CanonicalSpec.encode(sealed), lock: scanned.bundle.lock, findings: planned.warnings + scanned.findings,
            created: now, createdBy: author.subject)
        revision.authorIdentity = author.identity
        revision.base = planned.existing?.activeRevision
        revision.signer = planned.signature?.signer ?? planned.promoted?.revision.signer
        revision.origin = planned.promoted?.origin
        revision.needsApproval = planned.needsApproval(scanned.spec, lock: scanned.bundle.lock)
        let contents = BundleContents(components: scanned.components, sbom: scanned.sbom)
        var evidence = planned.promoted?.evidence ?? RevisionEvidence()
        if let signature = planned.signature { (evidence.statement, evidence.signature) = (signature.statement, signature.armored) }
        try await prove(&revision, &evidence, of: name, manifest: planned.manifestDigest, contents, since: started)
        let signed = try await signer.signing(revision)
        return SignedRevision(
            revision: signed, contents: contents, evidence: evidence,
            approvals: try await carry(planned.promoted?.approvals ?? [], to: signed, from: planned.promoted), name: name,
            newFunction: fresh)
    }

    /// The active revision once more, with another spec: what it runs stays as it was built and scanned.
    /// - Parameter kinds: what of the change somebody else might have to approve.
    /// - Throws: `.tampered` when the active revision itself is not as it was signed.
    func callAsFunction(
        _ active: Revision, of function: Function, spec: FunctionSpec, needsApproval: [ApprovalKind], by author: DeployAuthor
    ) async throws -> SignedRevision {
        guard signer.isValid(active) else { throw Problem(.tampered, "the revision's signature is not valid") }
        let (number, contents, known) = try await records.read { transaction in
            (
                try transaction.nextRevisionNumber(of: function.id), try transaction.contents(of: active.id),
                try transaction.evidence(of: active.id)
            )
        }
        var revision = active
        revision.id = RevisionId()
        revision.number = number
        revision.specBytes = try CanonicalSpec.encode(spec)
        revision.created = .now
        revision.createdBy = author.subject
        revision.authorIdentity = author.identity
        revision.base = function.activeRevision
        revision.isPinned = false
        revision.needsApproval = needsApproval
        var evidence = known
        try await prove(&revision, &evidence, of: function.name, manifest: nil, contents, since: revision.created)
        return SignedRevision(
            revision: try await signer.signing(revision), contents: contents, evidence: evidence, name: function.name, newFunction: nil)
    }

    private func prove(
        _ revision: inout Revision, _ evidence: inout RevisionEvidence, of name: FunctionName, manifest: String?,
        _ contents: BundleContents, since started: Timestamp
    ) async throws {
        let statement = try Provenance(
            of: revision, name, manifest: manifest, contents, server: signer.keyId, started: started
        ).bytes
        let envelope = try await signer.envelope(of: statement, type: Provenance.payloadType).bytes
        evidence.provenance = envelope
        revision.provenanceDigest = HexDigest.sha256(envelope)
        revision.state = revision.needsApproval.isEmpty ? .ready : .pendingApproval
    }

    /// Approvals name a revision; those of what was promoted were given for the one before.
    private func carry(_ approvals: [Approval], to revision: Revision, from promoted: PromotedRevision?) async throws -> [Approval] {
        guard let promoted else { return [] }
        var carried: [Approval] = []
        for approval in approvals {
            var copy = approval
            copy.revision = revision.id
            copy.digest = revision.digest
            copy.comment = "of \(promoted.function.name)#\(promoted.revision.number): \(approval.comment)"
            carried.append(try await signer.signing(copy))
        }
        return carried
    }
}
