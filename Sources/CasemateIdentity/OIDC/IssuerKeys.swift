import CasemateModel

/// When an issuer's keys are fetched, and how long those that are there serve. Decides; whoever has it fetches.
///
/// Times are in nanoseconds of a clock that never goes back.
struct IssuerKeys: Sendable {
    /// Keys change rarely, and an unknown key asks at once.
    static let fresh: UInt64 = 600 * 1_000_000_000
    /// Without an answer of the issuer's the last keys serve so long.
    static let longestOutage: UInt64 = 6 * 3600 * 1_000_000_000
    /// Tokens with made-up keys make no more requests than these: some at once, so that one of them does not keep a new key out, then
    /// one in fifteen seconds.
    static let fetchesAtOnce = 4.0
    static let fetchesPerSecond = 1.0 / 15

    private(set) var keys: SigningKeys?
    /// Grows with every answer of the issuer's: what was verified with older keys is verified anew.
    private(set) var generation = 0
    private(set) var isFetching = false
    private var fetched: UInt64 = 0
    private var bucket = TokenBucket(perSecond: fetchesPerSecond, burst: fetchesAtOnce, at: 0)

    enum Decision {
        /// `fetches`: and get newer ones meanwhile.
        case use(SigningKeys, fetches: Bool)
        /// There are none yet, or none of use any more.
        case fetchFirst
        /// They were asked for not long ago, in vain.
        case unavailable
    }

    mutating func decide(at now: UInt64) -> Decision {
        let age = Monotonic.elapsed(from: fetched, to: now)
        guard let keys, age < Self.longestOutage else { return isFetching || mayFetch(now) ? .fetchFirst : .unavailable }
        return .use(keys, fetches: age >= Self.fresh && mayFetch(now))
    }

    mutating func mayFetch(_ now: UInt64) -> Bool { !isFetching && !bucket.isEmpty(at: now) }

    mutating func began(at now: UInt64) {
        isFetching = true
        _ = bucket.take(at: now)
    }

    /// - Parameter found: nil where the issuer did not answer, or what it answered is no key set. An empty set is one: what was signed before
    ///   counts no more.
    mutating func ended(_ found: SigningKeys?, at now: UInt64) {
        isFetching = false
        guard let found else { return }
        keys = found
        generation += 1
        fetched = now
    }
}
