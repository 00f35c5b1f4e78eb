/// That somebody looked at a revision and wants it to run.
public struct Approval: Sendable, Equatable {
    public var revision: RevisionId
    /// What they looked at: `Revision.digest`.
    public var digest: String
    /// Who, for people to read.
    public var by: String
    /// Who, as nobody else is called.
    public var identity: String
    public var comment: String
    public var created: Timestamp
    /// The server's, over all of it but the comment: a row that was put into the database is none.
    public var signature: [UInt8]

    public init(
        revision: RevisionId, digest: String, by: String, identity: String, comment: String, created: Timestamp, signature: [UInt8] = []
    ) {
        self.revision = revision
        self.digest = digest
        self.by = by
        self.identity = identity
        self.comment = comment
        self.created = created
        self.signature = signature
    }

    /// What the server signs. Who it is comes with its length: an identity provider's names hold what they like.
    public var payload: [UInt8] {
        let parts = ["\(revision)", digest, "\(created.milliseconds)", "\(identity.utf8.count)", identity, by]
        return Array("casemate/approval/1\n\(parts.joined(separator: "\n"))".utf8)
    }
}

/// Where a revision stands on its way to being called.
public enum RevisionState: String, Hashable, Sendable, Codable {
    /// It is active, was, or may be.
    case ready
    /// Somebody else than its author must approve it first.
    case pendingApproval
    case rejected
    /// It waited for an approval when another was deployed.
    case superseded
}

/// Whose signature a revision was deployed with.
public struct DeploymentSigner: Hashable, Sendable, Codable {
    public var name: String
    /// The key's fingerprint, `SHA256:…`.
    public var key: String

    public init(name: String, key: String) {
        self.name = name
        self.key = key
    }
}

/// Where a promoted revision was before.
public struct RevisionOrigin: Hashable, Sendable, Codable {
    public var function: FunctionName
    public var revision: Int
    /// `Revision.digest` there.
    public var digest: String

    public init(function: FunctionName, revision: Int, digest: String) {
        self.function = function
        self.revision = revision
        self.digest = digest
    }
}
