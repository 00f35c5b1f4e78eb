/// Who deploys.
public struct DeployAuthor: Hashable, Sendable, Codable {
    /// For people to read.
    public var subject: String
    /// Never another's.
    public var identity: String

    public init(subject: String, identity: String) {
        self.subject = subject
        self.identity = identity
    }
}
