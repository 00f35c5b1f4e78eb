import CasemateModel
import CasemateStore

/// A stored revision. Made only by `Publish`.
public struct PublishedRevision: Sendable {
    public let revision: Revision

    fileprivate init(_ revision: Revision) { self.revision = revision }
}

/// Writes a signed revision to the records, with its function when that is new: both or neither.
struct Publish {
    let records: Records

    /// - Throws: `.conflict` when another deployment of this function was faster.
    func callAsFunction(_ signed: SignedRevision) async throws -> PublishedRevision {
        try await records.write { transaction in
            let current = try transaction.function(signed.name)
            if let fresh = signed.newFunction {
                guard current == nil else { throw Self.overtaken(signed.name) }
                try transaction.insert(fresh)
            } else {
                guard let current, current.id == signed.revision.functionId,
                    current.activeRevision == signed.before,
                    try transaction.nextRevisionNumber(of: current.id) == signed.revision.number
                else { throw Self.overtaken(signed.name) }
            }
            // Minutes may have gone by since it was decided on.
            guard let namespace = try transaction.namespace(signed.name.namespace),
                try transaction.policy(of: namespace.id).supplyChain == signed.policy
            else {
                throw Problem(.conflict, "the policy of \(signed.name.namespace) was changed meanwhile; deploy again")
            }
            // Whoever approves sees one that waits, compared with what is live.
            if let pending = try transaction.pendingRevision(of: signed.revision.functionId),
                let function = try transaction.function(signed.revision.functionId)
            {
                try transaction.supersedePending(of: signed.revision.functionId)
                transaction.record(
                    .approvalSuperseded, function.auditScope, ["revision": "\(pending.number)", "by": "\(signed.revision.number)"])
            }
            try transaction.insert(signed.revision, signed.contents, signed.evidence)
            for approval in signed.approvals { try transaction.insert(approval) }
            guard signed.revision.state == .pendingApproval, let function = try transaction.function(signed.revision.functionId) else {
                return
            }
            transaction.record(
                .approvalRequested, function.auditScope,
                AuditEvent.listed("for", signed.revision.needsApproval.map(\.rawValue)).merging(
                    ["revision": "\(signed.revision.number)", "digest": signed.revision.digest]) { $1 })
        }
        return PublishedRevision(signed.revision)
    }

    private static func overtaken(_ name: FunctionName) -> Problem {
        Problem(.conflict, "another deployment changed \(name) meanwhile; deploy again if yours should win")
    }
}
