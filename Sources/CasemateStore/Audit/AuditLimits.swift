import CasemateModel
import Synchronization

/// How often the same kind of observed event is kept: whoever can cause them must not be able to fill the disk, nor to hide one among many.
struct AuditLimits {
    private static let perSecond = 10.0
    private static let atOnce = 50.0
    private static let mostKeys = 10_000
    private static let second: UInt64 = 1_000_000_000

    private struct Key: Hashable {
        var kind: AuditKind
        var subject: String
    }

    private struct Bucket {
        var tokens = AuditLimits.atOnce
        var last: UInt64
        /// Of those that are not counted yet.
        var suppressed = 0
        var firstSuppressed: UInt64 = 0
        let scope: AuditEvent.Scope
        let source: String?
    }

    private var buckets: [Key: Bucket] = [:]
    private var swept: UInt64 = 0

    /// Whether the event is kept.
    mutating func take(_ event: AuditEvent, at now: UInt64) -> Bool {
        let subject: String
        switch event.scope {
        case .platform: subject = event.source ?? ""
        case .namespace(let id, _): subject = id.text
        case .function(let id, _, _): subject = id.text
        }
        // Those of an unbounded number of addresses share one bucket when there are too many.
        var key = Key(kind: event.kind, subject: subject)
        if buckets.count >= Self.mostKeys, buckets[key] == nil {
            // Looking through all of them is not for every event.
            if now >= swept + Self.second {
                swept = now
                buckets = buckets.filter { $0.value.suppressed > 0 || Monotonic.elapsed(from: $0.value.last, to: now) < 10 * Self.second }
            }
            if buckets.count >= Self.mostKeys { key.subject = "" }
        }
        let isShared = key.subject.isEmpty
        var bucket =
            buckets[key] ?? Bucket(last: now, scope: isShared ? .platform : event.scope, source: isShared ? nil : event.source)
        bucket.tokens = min(
            Self.atOnce, bucket.tokens + Double(Monotonic.elapsed(from: bucket.last, to: now)) / Double(Self.second) * Self.perSecond)
        bucket.last = now
        defer { buckets[key] = bucket }
        guard bucket.tokens >= 1 else {
            if bucket.suppressed == 0 { bucket.firstSuppressed = now }
            bucket.suppressed += 1
            return false
        }
        bucket.tokens -= 1
        return true
    }

    /// What is to be said of those that were not kept: when there are no more of them, and each minute while there are.
    /// - Parameter now: nil for all of them.
    mutating func counted(at now: UInt64?) -> [AuditEvent] {
        var events: [AuditEvent] = []
        for (key, bucket) in buckets where bucket.suppressed > 0 {
            if let now, now < bucket.last + Self.second, now < bucket.firstSuppressed + 60 * Self.second { continue }
            events.append(
                AuditEvent(
                    .auditSuppressed, bucket.scope, actor: "server", source: bucket.source,
                    ["kind": key.kind.text, "number": "\(bucket.suppressed)"]))
            buckets[key]?.suppressed = 0
        }
        return events
    }
}

/// Shared by whoever notes and whoever counts.
final class AuditLimitsBox: Sendable {
    private let limits: Mutex<AuditLimits> = Mutex(AuditLimits())

    func withLock<R: Sendable>(_ body: (inout AuditLimits) -> R) -> R { limits.withLock { body(&$0) } }
}
