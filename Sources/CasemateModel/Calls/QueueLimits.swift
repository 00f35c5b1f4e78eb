/// What the asynchronous calls of a namespace may take.
public struct QueueLimits: Hashable, Sendable, Codable {
    /// Calls of one function that wait or run.
    public var perFunction: Int
    /// Calls of the namespace that wait or run.
    public var perNamespace: Int
    /// Of their requests together.
    public var bytes: Int
    /// Of requests and results together, of calls that wait, run or have ended; the oldest of those that succeeded go first.
    public var storedBytes: Int
    /// How long a call and its result are kept once it has ended.
    public var retentionInHours: Int

    public static let countRange = 1...1_000_000
    public static let bytesRange = 1 << 20...1 << 40
    public static let retentionRange = 1...8_760

    public init(
        perFunction: Int = 20_000, perNamespace: Int = 100_000, bytes: Int = 1 << 30, storedBytes: Int = 10 << 30,
        retentionInHours: Int = 168
    ) {
        self.storedBytes = storedBytes
        self.perFunction = perFunction
        self.perNamespace = perNamespace
        self.bytes = bytes
        self.retentionInHours = retentionInHours
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let usual = QueueLimits()
        perFunction = try container.decodeIfPresent(Int.self, forKey: .perFunction) ?? usual.perFunction
        perNamespace = try container.decodeIfPresent(Int.self, forKey: .perNamespace) ?? usual.perNamespace
        bytes = try container.decodeIfPresent(Int.self, forKey: .bytes) ?? usual.bytes
        storedBytes = try container.decodeIfPresent(Int.self, forKey: .storedBytes) ?? usual.storedBytes
        retentionInHours = try container.decodeIfPresent(Int.self, forKey: .retentionInHours) ?? usual.retentionInHours
    }
}
