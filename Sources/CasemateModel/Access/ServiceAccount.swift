/// A service account's name within its namespace.
public struct AccountLabel: LabelName {
    public static let noun = "service account name"
    public let text: String
    public init(unchecked text: String) { self.text = text }
}

/// A machine's identity: a pipeline, another service. It holds what it is granted and nothing else.
public struct ServiceAccount: Sendable, Equatable {
    /// Its OAuth client id, too.
    public var id: AccountId
    public var namespaceId: NamespaceId
    public var namespace: NamespaceName
    public var label: AccountLabel
    /// SHA-256 of its client secret, and the secret's first characters.
    public var secretHash: [UInt8]
    public var secretPrefix: String
    public var created: Timestamp
    public var createdBy: String

    public init(
        id: AccountId, namespaceId: NamespaceId, namespace: NamespaceName, label: AccountLabel, secretHash: [UInt8], secretPrefix: String,
        created: Timestamp, createdBy: String
    ) {
        self.id = id
        self.namespaceId = namespaceId
        self.namespace = namespace
        self.label = label
        self.secretHash = secretHash
        self.secretPrefix = secretPrefix
        self.created = created
        self.createdBy = createdBy
    }

    /// `service-account:NAMESPACE/NAME`, as people write it and as records name who did something.
    public var subject: String { "\(Self.subjectPrefix)\(namespace)/\(label)" }

    public static let subjectPrefix = "service-account:"
}
