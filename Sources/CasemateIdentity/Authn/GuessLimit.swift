import CasemateModel
import Synchronization

/// How many wrong credentials may come from one place. Always on; who shows right ones never meets it, wherever others guess from.
///
/// Counts failures alone, so that a place without any costs nothing. Bounded: a million places at once make it forget some, and refuse
/// nobody for that.
public final class GuessLimit: Sendable {
    /// Wrong ones at once; then one a second.
    public static let burst = 60
    static let perSecond = 1.0
    private static let most = 16_384

    private let places: Mutex<[CallerSource: TokenBucket]> = Mutex([:])

    public init() {}

    /// A wrong credential came.
    /// - Throws: `.rateLimited` where too many came before.
    func failed(from source: CallerSource, at now: UInt64) throws(Problem) {
        let wait: Int? = places.withLock { places in
            var bucket = places[source] ?? TokenBucket(perSecond: Self.perSecond, burst: Double(Self.burst), at: now)
            let isWithin = bucket.take(at: now)
            if places[source] == nil, places.count >= Self.most { Self.makeRoom(&places, now) }
            places[source] = bucket
            return isWithin ? nil : bucket.secondsUntilNext
        }
        if let wait { throw Self.refusal(wait) }
    }

    /// A credential came that was not seen from there before.
    /// - Throws: `.rateLimited` while guesses come from there: a right one among them must not be told from the others.
    func isNew(from source: CallerSource, at now: UInt64) throws(Problem) {
        let wait: Int? = places.withLock { places in
            guard var bucket = places[source], bucket.isEmpty(at: now) else { return nil }
            return bucket.secondsUntilNext
        }
        if let wait { throw Self.refusal(wait) }
    }

    private static func makeRoom(_ places: inout [CallerSource: TokenBucket], _ now: UInt64) {
        places = places.filter { entry in
            var bucket = entry.value
            return !bucket.isFull(at: now)
        }
        // Half of them, so that this is not done again with the next.
        if places.count > most / 2 { places = Dictionary(uniqueKeysWithValues: places.lazy.prefix(most / 2).map { ($0.key, $0.value) }) }
    }

    private static func refusal(_ seconds: Int) -> Problem {
        Problem(.rateLimited, "too many wrong credentials came from your address; wait before you try again", retryAfterSeconds: seconds)
    }
}
