import CasemateModel
import Synchronization

/// Who looked at which function's log lately: whoever follows one asks again every few seconds, and that is one look.
final class RecentLooks: Sendable {
    private struct Look: Hashable {
        var identity: String
        var function: FunctionId
    }

    private static let most = 10_000
    private static let window: UInt64 = 300_000_000_000
    private let looks: Mutex<[Look: UInt64]> = Mutex([:])

    /// Whether this is the first one for five minutes.
    func isFirst(by identity: String, at function: FunctionId, now: UInt64 = Monotonic.now) -> Bool {
        looks.withLock { looks in
            let look = Look(identity: identity, function: function)
            if let last = looks[look], Monotonic.elapsed(from: last, to: now) < Self.window { return false }
            if looks.count >= Self.most { looks = looks.filter { Monotonic.elapsed(from: $0.value, to: now) < Self.window } }
            if looks.count < Self.most { looks[look] = now }
            return true
        }
    }
}
