import CasemateModel
import Synchronization

/// How far the wall clock was set while the other one went on.
final class ClockWatch: Sendable {
    /// What both clocks said at one moment.
    struct Look: Sendable {
        let wall: Int64
        let steady: UInt64
        /// In milliseconds, since what was heeded last; 0 for what is none.
        let jump: Int64
    }

    /// In milliseconds; less is drift.
    private static let least: Int64 = 2_000

    private let heeded: Mutex<(wall: Int64, steady: UInt64)>

    init() { heeded = Mutex((Timestamp.now.milliseconds, Monotonic.now)) }

    func look() -> Look {
        let before = heeded.withLock { $0 }
        let (wall, steady) = (Timestamp.now.milliseconds, Monotonic.now)
        let jump = wall - before.wall - Int64(Monotonic.elapsed(from: before.steady, to: steady) / 1_000_000)
        return Look(wall: wall, steady: steady, jump: abs(jump) > Self.least ? jump : 0)
    }

    func heed(_ look: Look) { heeded.withLock { $0 = (look.wall, look.steady) } }
}
