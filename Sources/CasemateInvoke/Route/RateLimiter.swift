import CasemateIdentity
import CasemateModel

/// Counts calls against the limits of their function. Lives on the gateway's loop.
package final class RateLimiter {
    private enum Key: Hashable {
        // With its rate: revisions that share the calls may have several.
        case function(FunctionId, Rate)
        case caller(FunctionId, String, Rate)
        case address(FunctionId, CallerSource, Rate)
    }

    private struct Entry {
        var rate: Rate
        var bucket: TokenBucket
    }

    private static let most = 65_536
    private var entries: [Key: Entry] = [:]

    package init() {}

    /// Takes one from each bucket that concerns the call, or none from any.
    /// - Parameter now: in nanoseconds of a clock that never goes back.
    /// - Throws: `.rateLimited` naming the limit, with the seconds until a call may pass.
    package func take(_ limits: RateLimits, _ function: FunctionId, _ principal: Principal, _ source: CallerSource?, at now: UInt64)
        throws(Problem)
    {
        var taken: [(key: Key, entry: Entry)] = []
        if let rate = limits.function { taken.append((.function(function, rate), entry(.function(function, rate), rate, now))) }
        if let rate = limits.caller {
            let key = Key.caller(function, principal.root, rate)
            taken.append((key, entry(key, rate, now)))
        }
        if let rate = limits.address, let source {
            let key = Key.address(function, source, rate)
            taken.append((key, entry(key, rate, now)))
        }
        for index in taken.indices {
            guard !taken[index].entry.bucket.take(at: now) else { continue }
            let (key, entry) = taken[index]
            throw Problem(
                .rateLimited, "the function takes \(entry.rate) \(Self.words(key)); wait before the next call", reason: Self.reason(key),
                retryAfterSeconds: entry.bucket.secondsUntilNext)
        }
        if entries.count + taken.count > Self.most { makeRoom(now) }
        for (key, entry) in taken { entries[key] = entry }
    }

    private func entry(_ key: Key, _ rate: Rate, _ now: UInt64) -> Entry {
        if let known = entries[key] { return known }
        return Entry(rate: rate, bucket: TokenBucket(rate, at: now))
    }

    private func makeRoom(_ now: UInt64) {
        entries = entries.filter { item in
            var bucket = item.value.bucket
            return !bucket.isFull(at: now)
        }
        guard entries.count > Self.most / 2 else { return }
        // Callers beyond count: forgetting some lets those through a little early, and refuses nobody. Not what one sender of many
        // addresses can't multiply.
        var spare = entries.count - Self.most / 2
        entries = entries.filter { item in
            guard spare > 0 else { return true }
            if case .function = item.key { return true }
            spare -= 1
            return false
        }
    }

    private static func words(_ key: Key) -> String {
        switch key {
        case .function: "in all"
        case .caller: "from each caller"
        case .address: "from each address"
        }
    }

    private static func reason(_ key: Key) -> String {
        switch key {
        case .function: "function-rate"
        case .caller: "caller-rate"
        case .address: "address-rate"
        }
    }
}
