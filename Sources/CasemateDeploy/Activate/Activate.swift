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

    func callAsFunction(_ published: PublishedRevision, loadInMilliseconds: Int?) async throws -> ActiveRevision {
        let revision = published.revision
        try await records.write { transaction in
            try transaction.activate(revision.id, of: revision.functionId, from: published.before, at: .now)
            guard let function = try transaction.function(revision.functionId) else { return }
            transaction.record(
                .functionDeployed, function.auditScope,
                ["revision": "\(revision.number)", "bundle": revision.bundleDigest, "source": revision.sourceDigest])
        }
        try await changed(revision.functionId, loadInMilliseconds)
        return ActiveRevision(revision: revision)
    }
}
