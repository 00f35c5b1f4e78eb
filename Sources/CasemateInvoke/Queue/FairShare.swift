import CasemateModel

/// Whose calls are next, where several functions have some waiting: each gets turns by its weight, and whoever floods the queue waits behind
/// nobody but itself (stride scheduling).
struct FairShare {
    private static let stride: UInt64 = 1 << 20
    /// How far each has come. Who has nothing waiting is forgotten, and begins where the others are.
    private var passes: [FunctionId: UInt64] = [:]
    private var time: UInt64 = 0

    /// The one that has had least for its weight.
    mutating func next(of candidates: [FunctionId]) -> FunctionId? {
        guard let first = candidates.min(by: { (pass($0), $0.text) < (pass($1), $1.text) }) else { return nil }
        time = max(time, pass(first))
        return first
    }

    /// `function` had `count` turns.
    mutating func took(_ count: Int, _ function: FunctionId, weight: Int) {
        passes[function] = pass(function) + UInt64(count) * Self.stride / UInt64(max(1, weight))
    }

    /// It has nothing waiting. What it had too much of stays on record while the others are behind.
    mutating func leave(_ function: FunctionId) {
        if pass(function) <= time { passes[function] = nil }
    }

    private func pass(_ function: FunctionId) -> UInt64 { max(passes[function] ?? time, time) }

    /// Of those that left ahead of the others, and were caught up with since.
    mutating func forget() { passes = passes.filter { $0.value > time } }
}
