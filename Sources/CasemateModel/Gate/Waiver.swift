/// Lets one finding of one function pass, for a time: whose decision that is stands in it.
public struct Waiver: Hashable, Sendable {
    /// What a finding is let pass for at most, and at least.
    public static let longestInMilliseconds: Int64 = 90 * 86_400_000
    public static let longestReason = 500

    public var id: WaiverId
    /// A function that was refused at its first deployment does not exist: it goes by its name here.
    public var namespaceId: NamespaceId
    public var function: FunctionLabel
    public var finding: FindingId
    public var reason: String
    public var expires: Timestamp
    public var created: Timestamp
    public var createdBy: String

    public init(
        id: WaiverId, namespaceId: NamespaceId, function: FunctionLabel, finding: FindingId, reason: String, expires: Timestamp,
        created: Timestamp, createdBy: String
    ) {
        self.id = id
        self.namespaceId = namespaceId
        self.function = function
        self.finding = finding
        self.reason = reason
        self.expires = expires
        self.created = created
        self.createdBy = createdBy
    }

    public func isInForce(at now: Timestamp) -> Bool { now < expires }
}
