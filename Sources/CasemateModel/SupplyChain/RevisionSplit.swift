/// A part of a function's calls that another revision than the active one runs.
public struct RevisionSplit: Sendable, Equatable {
    public var revision: RevisionId
    /// Of a hundred calls.
    public var percent: Int
    /// Where more than so many of a hundred fail, all calls go back to the active one; nil for never.
    public var returnAbove: Int?
    public var created: Timestamp
    public var createdBy: String

    public static let percentRange = 1...99
    public static let returnRange = 1...99

    public init(revision: RevisionId, percent: Int, returnAbove: Int?, created: Timestamp, createdBy: String) {
        self.revision = revision
        self.percent = percent
        self.returnAbove = returnAbove
        self.created = created
        self.createdBy = createdBy
    }
}
