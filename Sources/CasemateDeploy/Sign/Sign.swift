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
    /// The namespace's rules that it was decided on.
    let policy: SupplyChainPolicy
    /// Set when the function is new: what to insert with it.
    public let newFunction: Function?

    fileprivate init(
        revision: Revision, contents: BundleContents, evidence: RevisionEvidence, approvals: [Approval] = [], name: FunctionName,
        policy: SupplyChainPolicy, newFunction: Function?
    ) {
        self.policy = policy
        self.revision = revision
        self.contents = contents
        self.evidence = evidence
        self.approvals = approvals
        self.name = name
        before = revision.base
        self.newFunction = newFunction
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
        revision.signer = planned.signature?.signer ?? planned.promotedSigner
        revision.signedAt =
            planned.signature.map { _ in started } ?? planned.promotedSigner.flatMap { _ in planned.promoted?.revision.signedAt }
        // An upgrade builds what is live once more.
        revision.codeAuthor = planned.promoted?.revision.writtenBy ?? (planned.upgrades.isEmpty ? nil : planned.active?.writtenBy)
        revision.origin = planned.promoted?.origin
        revision.needsApproval = planned.needsApproval(scanned.spec, lock: scanned.bundle.lock)
        let contents = BundleContents(components: scanned.components, sbom: scanned.sbom)
        var evidence = planned.promoted?.evidence ?? RevisionEvidence()
        if let signature = planned.signature { (evidence.statement, evidence.signature) = (signature.statement, signature.armored) }
        try await prove(&revision, &evidence, of: name, manifest: planned.manifestDigest, contents, since: started)
        let signed = try await signer.signing(revision)
        return SignedRevision(
            revision: signed, contents: contents, evidence: evidence,
            approvals: planned.countsApprovals
                ? try await carry(planned.promoted?.approvals ?? [], to: signed, from: planned.promoted?.origin) : [], name: name,
            policy: planned.supplyChain, newFunction: fresh)
    }

    /// The active revision once more, with another spec: what it runs stays as it was built and scanned.
    /// - Parameters:
    ///   - needsApproval: what of the change somebody else has to approve.
    ///   - isLess: it may do nothing that it might not before, so that who approved that approves this.
    /// - Throws: `.tampered` when the active revision itself is not as it was signed.
    func callAsFunction(
        _ active: Revision, of function: Function, spec: FunctionSpec, needsApproval: [ApprovalKind], isLess: Bool,
        policy: SupplyChainPolicy, by author: DeployAuthor
    ) async throws -> SignedRevision {
        guard signer.isValid(active) else { throw Problem(.tampered, "the revision's signature is not valid") }
        let (number, contents, known, approvals) = try await records.read { transaction in
            (
                try transaction.nextRevisionNumber(of: function.id), try transaction.contents(of: active.id),
                try transaction.evidence(of: active.id), try transaction.approvals(of: active.id).filter { signer.isValid($0, of: active) }
            )
        }
        var revision = active
        revision.id = RevisionId()
        revision.number = number
        revision.specBytes = try CanonicalSpec.encode(spec)
        revision.created = .now
        revision.codeAuthor = active.writtenBy
        revision.createdBy = author.subject
        revision.authorIdentity = author.identity
        revision.base = function.activeRevision
        revision.isPinned = false
        revision.needsApproval = needsApproval
        var evidence = known
        try await prove(&revision, &evidence, of: function.name, manifest: nil, contents, since: revision.created)
        let signed = try await signer.signing(revision)
        let origin = RevisionOrigin(function: function.name, revision: active.number, digest: active.digest)
        return SignedRevision(
            revision: signed, contents: contents, evidence: evidence,
            approvals: isLess ? try await carry(approvals, to: signed, from: origin) : [], name: function.name, policy: policy,
            newFunction: nil)
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

    /// Approvals name a revision; these were given for the one that it comes from.
    private func carry(_ approvals: [Approval], to revision: Revision, from origin: RevisionOrigin?) async throws -> [Approval] {
        guard let origin else { return [] }
        var carried: [Approval] = []
        for approval in approvals {
            var copy = approval
            copy.revision = revision.id
            copy.digest = revision.digest
            copy.comment = String("of \(origin.function)#\(origin.revision): \(approval.comment)".prefix(1000))
            carried.append(try await signer.signing(copy))
        }
        return carried
    }
}

extension Revision {
    /// Who wrote what it runs.
    var writtenBy: DeployAuthor { codeAuthor ?? DeployAuthor(subject: createdBy, identity: authorIdentity) }
}
