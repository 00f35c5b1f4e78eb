import CasemateModel
import NIOCore

/// What is counted about calls. A value: the gateway's loop writes it, `GET /metrics` reads a copy.
///
/// Labels come from fixed sets: never a name, a secret or a text of a user's.
package struct CallMetrics: Sendable {
    /// A limit that was run into.
    package enum Limit: String, CaseIterable, Sendable {
        case memory, time, cpu, pids, tmp, openFiles = "open-files", output, request, response
    }

    /// By what became of them: `answered`, or the slug of a problem.
    package private(set) var calls: [String: Int] = [:]
    package private(set) var refusals: [String: Int] = [:]
    package private(set) var limits: [Limit: Int] = [:]
    package private(set) var duration = Histogram()
    package private(set) var queue = Histogram()
    package private(set) var coldStart = Histogram()
    package private(set) var coldStartPhases: [String: Histogram] = [:]
    package private(set) var thaw = Histogram()
    package private(set) var blockedCalls: [String: Int] = [:]

    mutating func ended(_ outcome: String, after duration: TimeAmount, queued: TimeAmount) {
        calls[outcome, default: 0] += 1
        self.duration.add(duration)
        queue.add(queued)
    }

    mutating func refused(_ code: Problem.Code) { refusals[code.slug, default: 0] += 1 }

    mutating func ranInto(_ limit: Limit) { limits[limit, default: 0] += 1 }

    mutating func started(_ times: StartTimes) {
        coldStart.add(times.loaded - times.asked)
        for (phase, duration) in times.phases { coldStartPhases[phase, default: Histogram()].add(duration) }
    }

    mutating func thawed(after duration: TimeAmount) { thaw.add(duration) }

    mutating func blocked(_ systemCall: String) { blockedCalls[systemCall, default: 0] += 1 }
}

extension CallMetrics.Limit {
    /// The limit behind a problem, if it is one's.
    init?(_ problem: Problem) {
        switch (problem.code, problem.reason) {
        case (.functionTimeout, "cpu"): self = .cpu
        case (.functionTimeout, _): self = .time
        case (.responseTooLarge, _): self = .response
        case (.tooLarge, _): self = .request
        case (_, "out-of-memory"): self = .memory
        case (_, let reason?): self.init(rawValue: reason)
        default: return nil
        }
    }
}

/// Counts of durations in fixed buckets, as Prometheus has them.
package struct Histogram: Sendable {
    /// Upper bounds in seconds.
    package static let bounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

    /// One more than there are bounds.
    package private(set) var counts = [Int](repeating: 0, count: bounds.count + 1)
    /// In seconds.
    package private(set) var sum = 0.0

    package init() {}

    package var count: Int { counts.reduce(0, +) }

    package mutating func add(_ duration: TimeAmount) {
        let seconds = Double(max(0, duration.nanoseconds)) / 1e9
        sum += seconds
        var index = 0
        while index < Self.bounds.count, seconds > Self.bounds[index] { index += 1 }
        counts[index] += 1
    }
}

/// How many of what there are now.
package struct CallGauges: Sendable {
    package struct Pool: Sendable {
        package var profile: String
        package var ready: Int
        package var starting: Int
        package var waiting: Int
        package var target: Int
    }

    package var pools: [Pool] = []
    package var running = 0
    package var waiting = 0
    package var instances = 0
    package var starting = 0
    package var frozen = 0
    package var frozenBytes = 0

    package init() {}
}

/// The gateway's own copy, on its loop.
package final class CallRecorder {
    package var metrics = CallMetrics()

    package init() {}
}
