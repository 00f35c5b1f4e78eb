import CasemateModel
import CasemateStore
import NIOCore

/// What is counted about asynchronous calls. A value, as `CallMetrics`.
package struct QueueMetrics: Sendable {
    /// By the state in which they ended.
    package private(set) var ended: [String: Int] = [:]
    package var retried = 0
    /// Results that came too late to count.
    package var fenced = 0
    /// From when they could run until they did.
    package private(set) var waited = Histogram()

    mutating func ended(_ call: QueuedCall) { ended[call.state.rawValue, default: 0] += 1 }

    mutating func began(waited milliseconds: Int64) { waited.add(.milliseconds(max(0, milliseconds))) }
}
