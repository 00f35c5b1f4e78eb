import CasemateModel
import Synchronization

/// Which calls of a function another revision than the active one runs, and how they end.
package final class Split: Sendable {
    package let percent: Int
    /// Nil for never.
    package let returnAbove: Int?
    private let state = Mutex(State())
    private let onReturn: @Sendable (_ calls: Int, _ failed: Int) -> Void

    private struct State {
        var share = 0
        var calls = 0
        var failed = 0
        var hasReturned = false
    }

    /// So many calls say something.
    package static let fewest = 20
    /// Of so many half is forgotten: what was well yesterday does not hide what fails today.
    private static let most = 1000

    /// - Parameter onReturn: told once, when too many have failed.
    package init(percent: Int, returnAbove: Int?, onReturn: @Sendable @escaping (_ calls: Int, _ failed: Int) -> Void) {
        self.percent = percent
        self.returnAbove = returnAbove
        self.onReturn = onReturn
    }

    /// One call's turn, which is given back where the call does not come to run.
    package final class Turn: Sendable {
        /// Whether the other revision runs the call.
        package let isOthers: Bool
        private let split: Split
        private let isTaken = Atomic(false)

        fileprivate init(_ split: Split) {
            self.split = split
            isOthers = split.takesNext()
        }

        deinit { if !isTaken.load(ordering: .relaxed) { split.giveBack(isOthers) } }

        /// The call runs.
        package func take() { isTaken.store(true, ordering: .relaxed) }
    }

    package func turn() -> Turn { Turn(self) }

    private func giveBack(_ isOthers: Bool) { state.withLock { $0.share += isOthers ? 100 - percent : -percent } }

    /// Whether the other revision runs the next call. Not by chance: of any hundred in a row it is exactly its share.
    package func takesNext() -> Bool {
        state.withLock { state in
            guard !state.hasReturned else { return false }
            state.share += percent
            guard state.share >= 100 else { return false }
            state.share -= 100
            return true
        }
    }

    /// Notes how a call of the other revision ended.
    package func ended(failed: Bool) {
        let told: (Int, Int)? = state.withLock { state in
            guard !state.hasReturned else { return nil }
            state.calls += 1
            state.failed += failed ? 1 : 0
            if state.calls > Self.most { (state.calls, state.failed) = (state.calls / 2, state.failed / 2) }
            guard let returnAbove, state.calls >= Self.fewest, state.failed * 100 > returnAbove * state.calls else { return nil }
            state.hasReturned = true
            return (state.calls, state.failed)
        }
        if let told { onReturn(told.0, told.1) }
    }
}
