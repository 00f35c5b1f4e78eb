import CasemateIdentity
import CasemateModel
import Synchronization

/// How much work one function may make for the platform: requests at once, and a rate. Its sandbox pays for none of it.
final class InsideLimit: Sendable {
    private struct Use {
        var running = 0
        var bucket: TokenBucket
    }

    static let atOnce = 16
    static let burst = 100.0
    static let perSecond = 20.0
    private static let most = 4096

    private let uses: Mutex<[FunctionId: Use]> = Mutex([:])

    /// Each one that is let in ends with `ended`, when its work is done and not when its connection is.
    /// - Throws: `.rateLimited`.
    func begin(_ function: FunctionId, at now: UInt64 = Monotonic.now) throws(Problem) {
        let isWithin = uses.withLock { uses in
            var use = uses[function] ?? Use(bucket: TokenBucket(perSecond: Self.perSecond, burst: Self.burst, at: now))
            let isWithin = use.running < Self.atOnce && use.bucket.take(at: now)
            if isWithin { use.running += 1 }
            if uses[function] == nil, uses.count >= Self.most { uses = uses.filter { $0.value.running > 0 } }
            uses[function] = use
            return isWithin
        }
        if !isWithin { throw Problem(.rateLimited, "the function asks the platform for too much at once", retryAfterSeconds: 1) }
    }

    func ended(_ function: FunctionId) { uses.withLock { $0[function]?.running -= 1 } }
}
