import Synchronization

/// Who uploaded what, not long ago.
final class RecentUploads: Sendable {
    private struct Key: Hashable {
        var digest: String
        var subject: String
    }

    private static let kept = Duration.seconds(6 * 3600)
    private let seen: Mutex<[Key: ContinuousClock.Instant]> = Mutex([:])

    func note(_ digest: String, by subject: String) {
        let now = ContinuousClock.now
        seen.withLock { seen in
            seen = seen.filter { now - $0.value < Self.kept }
            seen[Key(digest: digest, subject: subject)] = now
        }
    }

    func contains(_ digest: String, by subject: String) -> Bool {
        seen.withLock { seen in seen[Key(digest: digest, subject: subject)].map { ContinuousClock.now - $0 < Self.kept } ?? false }
    }
}
