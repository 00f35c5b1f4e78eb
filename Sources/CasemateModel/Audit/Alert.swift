/// Where events of some kinds are sent as they are recorded.
public struct Alert: Sendable, Equatable {
    public var id: AlertId
    /// Only events of this namespace; nil for all.
    public var namespaceId: NamespaceId?
    public var kinds: [AuditKind]
    public var url: String
    /// Whether it may lead into private networks: whoever keeps the server may say so.
    public var mayReachPrivate: Bool
    /// Of the last record that was sent, or did not concern it.
    public var cursor: UInt64
    public var created: Timestamp
    public var createdBy: String

    public init(
        id: AlertId, namespaceId: NamespaceId?, kinds: [AuditKind], url: String, mayReachPrivate: Bool, cursor: UInt64, created: Timestamp,
        createdBy: String
    ) {
        self.id = id
        self.namespaceId = namespaceId
        self.kinds = kinds
        self.url = url
        self.mayReachPrivate = mayReachPrivate
        self.cursor = cursor
        self.created = created
        self.createdBy = createdBy
    }

    public func concerns(_ record: AuditRecord) -> Bool {
        kinds.contains { $0.text == record.kind } && (namespaceId == nil || record.namespaceId == namespaceId?.text)
    }
}
