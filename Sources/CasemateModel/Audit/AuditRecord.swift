/// A record as it stands in the log, and as it is read: an event with its place.
public struct AuditRecord: Codable, Sendable, Equatable {
    /// From 1, without a gap.
    public var sequence: UInt64
    /// The hash of the record before; 64 zeros for the first.
    public var previous: String
    /// RFC 3339, UTC.
    public var time: String
    public var kind: String
    public var outcome: String
    public var actor: String
    public var source: String?
    public var request: String?
    public var namespace: String?
    public var namespaceId: String?
    /// `NAMESPACE/FUNCTION`
    public var function: String?
    public var functionId: String?
    public var details: [String: String]?

    public init(_ event: AuditEvent, sequence: UInt64, previous: String, time: Timestamp) {
        self.sequence = sequence
        self.previous = previous
        self.time = time.rfc3339
        kind = event.kind.text
        outcome = event.outcome.rawValue
        actor = event.actor ?? "server"
        source = event.source
        request = event.request
        switch event.scope {
        case .platform: break
        case .namespace(let id, let name):
            namespace = name.text
            namespaceId = id.text
        case .function(let id, let name, let namespace):
            self.namespace = name.namespace.text
            namespaceId = namespace.text
            function = name.description
            functionId = id.text
        }
        let kept = event.details.sorted { $0.key < $1.key }.prefix(AuditEvent.mostDetails)
        if !kept.isEmpty { details = Dictionary(uniqueKeysWithValues: kept.map { ($0.key, Self.cut($0.value)) }) }
    }

    private static func cut(_ text: String) -> String {
        guard text.utf8.count > AuditEvent.longestDetail else { return text }
        return String(decoding: text.utf8.prefix(AuditEvent.longestDetail), as: UTF8.self) + "…"
    }
}
