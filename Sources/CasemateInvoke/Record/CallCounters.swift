import Synchronization

/// Counts since the server started. Read by `casemate status` and the metrics.
package final class CallCounters: Sendable {
    package let calls = Atomic<Int>(0)
    package let coldStarts = Atomic<Int>(0)
    package let refused = Atomic<Int>(0)
    package let failed = Atomic<Int>(0)
    package let redactions = Atomic<Int>(0)

    package init() {}
}

extension Atomic where Value == Int {
    package func increment(by count: Int = 1) { add(count, ordering: .relaxed) }
    package var value: Int { load(ordering: .relaxed) }
}
