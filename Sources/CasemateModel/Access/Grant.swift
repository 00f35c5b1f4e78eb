/// Whom something is granted to.
public enum Subject: Hashable, Sendable {
    case serviceAccount(AccountId)
    /// Somebody by the name that their issuer gives them.
    case user(IssuerId, String)
    /// Everybody of whom the issuer says that they belong to it.
    case group(IssuerId, String)
}

/// A line that someone wrote: this subject may do that there. Nothing is allowed without one.
public struct Grant: Hashable, Sendable {
    public let id: GrantId
    public let subject: Subject
    public let permission: Permission
    public let resource: Resource
    public let created: Timestamp
    /// The subject of whoever granted it.
    public let createdBy: String

    public init(id: GrantId, subject: Subject, permission: Permission, resource: Resource, created: Timestamp, createdBy: String) {
        self.id = id
        self.subject = subject
        self.permission = permission
        self.resource = resource
        self.created = created
        self.createdBy = createdBy
    }

    public var rights: Rights { permission.rights(on: resource) }
}
