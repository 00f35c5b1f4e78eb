import CasemateModel
import CasemateStore

/// A stored revision. Made only by `Publish`.
public struct PublishedRevision: Sendable {
    public let revision: Revision
    /// The active revision that it was decided on.
    let before: RevisionId?

    fileprivate init(revision: Revision, before: RevisionId?) {
        self.revision = revision
        self.before = before
    }
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
            try transaction.insert(signed.revision, signed.contents)
        }
        return PublishedRevision(revision: signed.revision, before: signed.before)
    }

    private static func overtaken(_ name: FunctionName) -> Problem {
        Problem(.conflict, "another deployment changed \(name) meanwhile; deploy again if yours should win")
    }
}
