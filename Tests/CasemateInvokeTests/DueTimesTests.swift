import CasemateModel
import Testing

@testable import CasemateInvoke

@Suite("What a schedule has to do")
struct DueTimesTests {
    private static let minute: Int64 = 60_000
    private static let hour = 60 * minute

    private func at(_ milliseconds: Int64) -> Timestamp { Timestamp(milliseconds: milliseconds) }

    private func due(_ missed: Schedule.Missed = .skip, every period: Int64 = hour) -> DueTimes {
        DueTimes(next: { Timestamp(milliseconds: ($0.milliseconds / period + 1) * period) }, missed: missed)
    }

    @Test("it waits for its time, and fires at it and a little after")
    func inTime() {
        #expect(due().step(after: at(0), at: at(Self.hour - 1)) == .wait(until: at(Self.hour)))
        #expect(due().step(after: at(0), at: at(Self.hour)) == .fire(at(Self.hour), missed: 0))
        #expect(due().step(after: at(0), at: at(Self.hour + Self.minute)) == .fire(at(Self.hour), missed: 0))
    }

    @Test("what passed unheeded is skipped, or made up for once", arguments: [3, 25, 24 * 40, 24 * 365])
    func late(hours: Int64) {
        let now = at(hours * Self.hour + 30 * Self.minute)
        #expect(due(.skip).step(after: at(0), at: now) == .skip(at(hours * Self.hour), missed: Int(hours)))
        #expect(due(.once).step(after: at(0), at: now) == .fire(at(hours * Self.hour), missed: Int(hours) - 1))
    }

    @Test("after what was missed comes what is due now")
    func lateAndDue() {
        let now = at(5 * Self.hour + 10)
        #expect(due().step(after: at(0), at: now) == .skip(at(4 * Self.hour), missed: 4))
        #expect(due().step(after: at(4 * Self.hour), at: now) == .fire(at(5 * Self.hour), missed: 0))
    }

    @Test("a year of minutes takes no time to pass over")
    func manyMissed() {
        let start = ContinuousClock.now
        let step = due(every: Self.minute).step(after: at(0), at: at(365 * 24 * Self.hour))
        guard case .skip(let last, _) = step else { return #expect(Bool(false), "\(step)") }
        #expect(last == at(365 * 24 * Self.hour - 2 * Self.minute) || last == at(365 * 24 * Self.hour - Self.minute))
        #expect(ContinuousClock.now - start < .seconds(5))
    }

    @Test("what never comes is waited for no longer")
    func never() {
        #expect(DueTimes(next: { _ in nil }, missed: .once).step(after: at(0), at: at(1)) == .wait(until: nil))
    }
}
