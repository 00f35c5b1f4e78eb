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
        try await records.write { try $0.activate(revision.id, of: revision.functionId, from: published.before, at: .now) }
        try await changed(revision.functionId, loadInMilliseconds)
        return ActiveRevision(revision: revision)
    }
}
