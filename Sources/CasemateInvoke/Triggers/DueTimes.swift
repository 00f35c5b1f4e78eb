import CasemateModel

/// What a schedule has to do now: the decision alone, without a clock of its own.
struct DueTimes: Sendable {
    enum Step: Equatable {
        /// Nothing before this time; nil: never again.
        case wait(until: Timestamp?)
        /// - Parameter missed: times before it that passed unheeded.
        case fire(Timestamp, missed: Int)
        /// Times passed unheeded, this one last, and are not made up for.
        case skip(Timestamp, missed: Int)
    }

    /// So long after its time a call is not late yet: a restart takes less.
    static let graceInMilliseconds: Int64 = 60_000
    /// More are not counted.
    private static let mostCounted = 10_000

    let next: @Sendable (Timestamp) -> Timestamp?
    let missed: Schedule.Missed

    /// - Parameter cursor: what was heeded up to and with this.
    func step(after cursor: Timestamp, at now: Timestamp) -> Step {
        guard let due = next(cursor) else { return .wait(until: nil) }
        guard due <= now else { return .wait(until: due) }
        let grace = now.advanced(byMilliseconds: -Self.graceInMilliseconds)
        guard due < grace else { return .fire(due, missed: 0) }
        let last = latest(before: grace, from: due)
        let count = count(from: due, through: last)
        return missed == .once ? .fire(last, missed: count - 1) : .skip(last, missed: count)
    }

    /// The last time before `limit`; `first` is one of them. Looked for near the limit first: there may be half a million between.
    private func latest(before limit: Timestamp, from first: Timestamp) -> Timestamp {
        for hours in [1, 24, 24 * 32, 24 * 370] as [Int64] {
            let start = max(first, limit.advanced(byMilliseconds: -hours * 3_600_000))
            guard var found = start == first ? first : next(start), found < limit else { continue }
            while let later = next(found), later < limit { found = later }
            return found
        }
        var found = first
        while let later = next(found), later < limit { found = later }
        return found
    }

    private func count(from first: Timestamp, through last: Timestamp) -> Int {
        var (count, found) = (1, first)
        while count < Self.mostCounted, found < last, let later = next(found) { (count, found) = (count + 1, later) }
        return count
    }
}
