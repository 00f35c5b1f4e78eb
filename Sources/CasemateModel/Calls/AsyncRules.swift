/// What holds for a function's asynchronous calls: how often and for how long each is tried, and who hears of those that were in vain.
public struct AsyncRules: Hashable, Sendable, Codable {
    /// Attempts, the first among them. Of one, a call is run at most once.
    public var maxAttempts: Int
    /// From its acceptance on; what has not ended by then is a dead letter.
    public var maxAgeInMilliseconds: Int64
    /// Before the second attempt, at most; doubled before each that follows.
    public var backoffInMilliseconds: Int64
    public var maxBackoffInMilliseconds: Int64
    /// The function's share of the workers beside others that have calls waiting.
    public var weight: Int
    /// Called for each dead letter, as this function; nil for none.
    public var deadLetter: FunctionName?

    public static let attemptsRange = 1...20
    public static let ageRange: ClosedRange<Int64> = 1_000...1_209_600_000
    public static let backoffRange: ClosedRange<Int64> = 100...3_600_000
    public static let weightRange = 1...100

    public init(
        maxAttempts: Int = 3, maxAgeInMilliseconds: Int64 = 21_600_000, backoffInMilliseconds: Int64 = 1_000,
        maxBackoffInMilliseconds: Int64 = 300_000, weight: Int = 1, deadLetter: FunctionName? = nil
    ) {
        self.maxAttempts = maxAttempts
        self.maxAgeInMilliseconds = maxAgeInMilliseconds
        self.backoffInMilliseconds = backoffInMilliseconds
        self.maxBackoffInMilliseconds = maxBackoffInMilliseconds
        self.weight = weight
        self.deadLetter = deadLetter
    }

    /// How long a call waits before its next attempt: anything up to the bound, so that what failed together does not come together again
    /// (full jitter).
    /// - Parameter failed: attempts that were in vain, from 1.
    public func delayInMilliseconds(afterAttempts failed: Int, using random: inout some RandomNumberGenerator) -> Int64 {
        let doublings = min(max(failed - 1, 0), 30)
        let bound = min(maxBackoffInMilliseconds, backoffInMilliseconds << Int64(doublings))
        return Int64.random(in: min(backoffInMilliseconds, bound) / 2...bound, using: &random)
    }
}
