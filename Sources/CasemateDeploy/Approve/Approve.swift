import CasemateModel
import CasemateStore
import CasemateVault

/// A stored revision that calls may run: nobody has to approve it, or somebody has. Made only by `Approve`.
public struct ApprovedRevision: Sendable {
    public let revision: Revision
    /// Not stored yet: it is given with what it brings about, or not at all.
    let approval: Approval?

    fileprivate init(_ revision: Revision, by approval: Approval? = nil) {
        self.revision = revision
        self.approval = approval
    }
}

/// Whether a second person's word is needed, and whether it is there.
struct Approve {
    let records: Records
    let signer: RevisionSigner

    /// Nil where the revision has to wait.
    func callAsFunction(_ published: PublishedRevision) -> ApprovedRevision? {
        published.revision.state == .ready ? ApprovedRevision(published.revision) : nil
    }

    /// Gives `order`'s approval.
    /// - Returns: what is to become active now; nil where it was approved for the record alone.
    /// - Throws: `.notFound`; `.selfApproval`; `.conflict` where it is another than the one that was looked at, or was compared with what is
    ///   not live any more.
    func callAsFunction(_ order: ApprovalOrder) async throws -> ApprovedRevision? {
        let found = try await records.read { try check(order, $0) }
        let approval = try await signer.signing(
            Approval(
                revision: found.id, digest: order.digest, by: order.approver.subject, identity: order.approver.identity,
                comment: order.comment, created: max(.now, found.created)))
        return try await records.write { transaction in
            // Once more: signing may have taken a while.
            let revision = try check(order, transaction)
            guard revision.state == .pendingApproval else {
                try transaction.give(approval, of: revision, order.function)
                return nil
            }
            try checkBase(revision, order, transaction)
            return ApprovedRevision(revision, by: approval)
        }
    }

    /// Whether `order` may be carried out.
    private func check(_ order: ApprovalOrder, _ transaction: Transaction) throws -> Revision {
        let revision = try order.revision(transaction)
        guard signer.isValid(revision) else { throw Problem(.tampered, "the revision's signature is not valid") }
        let digest = RevisionSigner.digest(of: revision)
        guard digest == order.digest else {
            throw Problem(.conflict, "revision \(revision.number) of \(order.function.name) is sha256:\(digest), not what you looked at")
        }
        try order.checkAuthor(of: revision, transaction)
        switch revision.state {
        case .rejected: throw Problem(.conflict, "revision \(revision.number) was rejected; deploy again")
        case .superseded: throw Problem(.conflict, "revision \(revision.number) waits no more: another was deployed since")
        case .ready, .pendingApproval: return revision
        }
    }

    /// What was compared with something else than what is live, or was decided on by other rules, is not what was looked at.
    private func checkBase(_ revision: Revision, _ order: ApprovalOrder, _ transaction: Transaction) throws {
        let live = try transaction.function(order.function.id)?.activeRevision
        guard live == revision.base else {
            func name(_ id: RevisionId?) throws -> String {
                try id.flatMap { try transaction.revision($0) }.map { "revision \($0.number)" } ?? "nothing"
            }
            throw Problem(
                .conflict,
                "revision \(revision.number) was compared with \(try name(revision.base)), and \(try name(live)) is live now; deploy again, and look at that"
            )
        }
        let policy = try transaction.policy(of: order.function.namespaceId).supplyChain
        guard !policy.production || revision.origin != nil, policy.refusal(of: revision, isReviewed: true) == nil else {
            throw Problem(
                .conflict,
                "the policy of \(order.function.name.namespace) does not let revision \(revision.number) run any more; deploy again")
        }
    }

    /// For one that was live or was approved: nobody has to look at it again.
    /// - Throws: `.approvalRequired` for one that nobody let run.
    func again(_ revision: Revision, of function: Function) throws(Problem) -> ApprovedRevision {
        guard revision.state == .ready else {
            throw Problem(
                .approvalRequired,
                "revision \(revision.number) of \(function.name) \(revision.state == .pendingApproval ? "waits for an approval" : "was not approved")"
            )
        }
        return ApprovedRevision(revision)
    }
}

extension Transaction {
    /// Once from each, and on record.
    func give(_ approval: Approval, of revision: Revision, _ function: Function) throws {
        // One that came along from where it was promoted is another.
        let known = try approvals(of: revision.id).contains { $0.identity == approval.identity && $0.created >= revision.created }
        guard !known else { return }
        try insert(approval)
        var details = ["revision": "\(revision.number)", "digest": approval.digest]
        if !approval.comment.isEmpty { details["comment"] = approval.comment }
        record(.approvalGiven, function.auditScope, details)
    }
}
