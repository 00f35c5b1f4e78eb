import CasemateModel
import CasemateStore

/// The revision that calls run from now on. Made only by `Activate`.
public struct ActiveRevision: Sendable {
    public let revision: Revision

    fileprivate init(revision: Revision) { self.revision = revision }
}

/// Moves the function's pointer.
struct Activate {
    let records: Records
    /// Tells the calling side; returns when the next call sees the change.
    let changed: @Sendable (_ id: FunctionId, _ loadInMilliseconds: Int?) async throws -> Void

    /// - Throws: `.conflict` where another has become active since it was compared with what was.
    func callAsFunction(_ approved: ApprovedRevision, loadInMilliseconds: Int?) async throws -> ActiveRevision {
        let revision = approved.revision
        try await records.write { transaction in
            guard let stored = try transaction.revision(revision.id), stored.state == revision.state else {
                throw Problem(.conflict, "revision \(revision.number) was rejected or replaced meanwhile")
            }
            try transaction.activate(revision.id, of: revision.functionId, from: revision.base, at: .now)
            try transaction.setState(.ready, of: revision.id)
            try transaction.set(nil, of: revision.functionId)
            guard let function = try transaction.function(revision.functionId) else { return }
            if let approval = approved.approval { try transaction.give(approval, of: revision, function) }
            var details = ["revision": "\(revision.number)", "bundle": revision.bundleDigest, "source": revision.sourceDigest]
            details["signer"] = revision.signer.map { "\($0.name) \($0.key)" }
            details["promotedFrom"] = revision.origin.map { "\($0.function)#\($0.revision)" }
            transaction.record(.functionDeployed, function.auditScope, details)
            if let origin = revision.origin {
                transaction.record(
                    .functionPromoted, function.auditScope,
                    [
                        "revision": "\(revision.number)", "from": "\(origin.function)", "fromRevision": "\(origin.revision)",
                        "digest": origin.digest,
                    ])
            }
        }
        try await changed(revision.functionId, loadInMilliseconds)
        return ActiveRevision(revision: revision)
    }

    /// Makes a revision active that was before, or waited for that.
    /// - Parameter check: may refuse it, within the transaction.
    func callAsFunction(
        again approved: ApprovedRevision, of function: Function, _ check: @Sendable @escaping (Transaction) throws -> Void
    ) async throws -> ActiveRevision {
        let revision = approved.revision
        try await records.write { transaction in
            try check(transaction)
            guard let before = try transaction.function(function.id)?.activeRevision.flatMap({ try transaction.revision($0) }) else {
                throw Problem(.conflict, "\(function.name) has not been deployed yet")
            }
            guard try transaction.revision(revision.id)?.state == .ready else {
                throw Problem(.conflict, "revision \(revision.number) of \(function.name) is gone")
            }
            try transaction.activate(revision.id, of: function.id, at: .now)
            try transaction.set(nil, of: function.id)
            transaction.record(
                .functionRolledBack, function.auditScope,
                ["from": "\(before.number)", "to": "\(revision.number)", "bundle": revision.bundleDigest])
        }
        try await changed(function.id, nil)
        return ActiveRevision(revision: revision)
    }
}
