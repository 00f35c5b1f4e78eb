import CasemateModel
import Synchronization

/// How often somebody may ask whether a secret has a certain value: enough to check a deployment, too little to guess.
final class SecretComparisons: Sendable {
    static let most = 10
    private static let window: UInt64 = 600_000_000_000
    private static let mostKeys = 100_000
    private let asked: Mutex<[String: [UInt64]]> = Mutex([:])

    /// Counts one question.
    /// - Returns: nil where it may be answered; else seconds until the next may.
    func take(_ secret: String, now: UInt64 = Monotonic.now) -> Int? {
        asked.withLock { asked in
            if asked.count > Self.mostKeys { asked = asked.filter { ($0.value.last ?? 0) + Self.window > now } }
            let recent = (asked[secret] ?? []).filter { $0 + Self.window > now }
            guard recent.count < Self.most else {
                asked[secret] = recent
                return Int((recent[0] + Self.window - now) / 1_000_000_000) + 1
            }
            asked[secret] = recent + [now]
            return nil
        }
    }
}
