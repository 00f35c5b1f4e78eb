/// What has a function called at certain times, as its own.
public struct Schedule: Sendable, Equatable {
    /// What becomes of times that passed while nobody could heed them.
    public enum Missed: String, Sendable, Codable, CaseIterable {
        case skip
        /// One call for all of them, for the last one.
        case once
    }

    public let id: ScheduleId
    public let functionId: FunctionId
    /// Within its function.
    public let name: FunctionLabel
    public let cron: CronExpression
    /// An IANA time zone's name.
    public let timeZone: String
    /// A call runs up to this much after its time.
    public let jitterInSeconds: Int
    public let missed: Missed
    public let isPaused: Bool
    /// What it sends, sealed under the function's data key; nil for nothing.
    public let input: [UInt8]?
    /// On whose behalf its calls run; nil for nobody's.
    public let account: AccountId?
    /// Whether the active revision's manifest has it; else somebody made it.
    public let isOfManifest: Bool
    public let created: Timestamp
    public let createdBy: String

    public static let jitterRange = 0...3600
    public static let mostOfFunction = 100
    public static let mostOfNamespace = 1000
    public static let mostInputBytes = 1 << 18

    public init(
        id: ScheduleId, functionId: FunctionId, name: FunctionLabel, cron: CronExpression, timeZone: String, jitterInSeconds: Int,
        missed: Missed, isPaused: Bool, input: [UInt8]?, account: AccountId?, isOfManifest: Bool, created: Timestamp, createdBy: String
    ) {
        self.id = id
        self.functionId = functionId
        self.name = name
        self.cron = cron
        self.timeZone = timeZone
        self.jitterInSeconds = jitterInSeconds
        self.missed = missed
        self.isPaused = isPaused
        self.input = input
        self.account = account
        self.isOfManifest = isOfManifest
        self.created = created
        self.createdBy = createdBy
    }

    /// The same for an instant each time it is asked, in milliseconds: where many have the same times, their calls are spread.
    public func delayInMilliseconds(at instant: Timestamp) -> Int64 {
        guard jitterInSeconds > 0 else { return 0 }
        // FNV-1a: not for secrecy.
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in Array(id.text.utf8) + Array("\(instant.milliseconds)".utf8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return Int64(hash % UInt64(jitterInSeconds * 1000))
    }
}

/// A schedule as a manifest has it: part of what is signed.
public struct ScheduleSpec: Hashable, Sendable, Codable {
    public var name: FunctionLabel
    public var cron: String
    public var timeZone: String
    public var jitterInSeconds: Int?
    public var missed: Schedule.Missed?
    /// JSON; nil for nothing.
    public var input: String?

    public init(
        name: FunctionLabel, cron: String, timeZone: String, jitterInSeconds: Int? = nil, missed: Schedule.Missed? = nil,
        input: String? = nil
    ) {
        self.name = name
        self.cron = cron
        self.timeZone = timeZone
        self.jitterInSeconds = jitterInSeconds
        self.missed = missed
        self.input = input
    }
}
