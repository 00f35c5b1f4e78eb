import CasemateModel
import CasemateStore
import CasemateVault

/// A revision that is to run in another namespace exactly as it is. Made only by `Promotion`.
struct PromotedRevision: Sendable {
    let function: Function
    let revision: Revision
    let contents: BundleContents
    let evidence: RevisionEvidence
    /// By others than its author.
    let approvals: [Approval]

    fileprivate init(_ function: Function, _ revision: Revision, _ transaction: Transaction, _ approvals: [Approval]) throws {
        self.function = function
        self.revision = revision
        self.approvals = approvals
        contents = try transaction.contents(of: revision.id)
        evidence = try transaction.evidence(of: revision.id)
    }

    var origin: RevisionOrigin {
        RevisionOrigin(function: function.name, revision: revision.number, digest: "sha256:" + RevisionSigner.digest(of: revision))
    }
}

/// Looks up what is to be promoted.
struct Promotion {
    let records: Records
    let signer: RevisionSigner

    /// - Parameter number: nil for the active one.
    /// - Throws: `.notFound`; `.approvalRequired` where nobody but its author approved it; `.tampered`.
    func callAsFunction(_ function: Function, _ number: Int?) async throws -> PromotedRevision {
        try await records.read { transaction in
            let revision =
                if let number { try transaction.revision(number, of: function.id) } else {
                    try function.activeRevision.flatMap { try transaction.revision($0) }
                }
            guard let revision else {
                throw Problem(
                    .notFound, number.map { "\(function.name) has no revision \($0)" } ?? "\(function.name) has not been deployed yet")
            }
            guard signer.isValid(revision) else { throw Problem(.tampered, "the revision's signature is not valid") }
            let approvals = try transaction.approvals(of: revision.id).filter { signer.isValid($0, of: revision) }
            guard revision.state != .rejected, !approvals.isEmpty else {
                throw Problem(
                    .approvalRequired,
                    "revision \(revision.number) of \(function.name) has to be approved first, by somebody else than its author: casemate approve \(function.name)#\(revision.number)"
                )
            }
            return try PromotedRevision(function, revision, transaction, approvals)
        }
    }
}
