/// Somebody as their issuer named them when they signed in.
public struct SignedInPerson: Sendable, Equatable {
    public var issuer: IssuerId
    /// What the issuer calls them for good: its `sub`.
    public var subject: String
    /// What grants call them.
    public var username: String
    public var groups: [String]

    public init(issuer: IssuerId, subject: String, username: String, groups: [String]) {
        self.issuer = issuer
        self.subject = subject
        self.username = username
        self.groups = groups
    }
}

/// That somebody has seen what a revision may do, and wants it to act for them.
public struct Consent: Sendable, Hashable {
    /// Whose, for good (`Principal.identity`).
    public var identity: String
    public var revision: RevisionId
    public var created: Timestamp

    public init(identity: String, revision: RevisionId, created: Timestamp) {
        self.identity = identity
        self.revision = revision
        self.created = created
    }
}
