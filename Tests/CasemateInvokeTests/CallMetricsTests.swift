import CasemateModel
import NIOCore
import Testing

@testable import CasemateInvoke

@Suite("What is counted about calls")
struct CallMetricsTests {
    @Test("a duration falls into the first bucket that holds it")
    func histogram() {
        var histogram = Histogram()
        for amount: TimeAmount in [.microseconds(500), .microseconds(501), .seconds(60), .seconds(61), .nanoseconds(-5)] {
            histogram.add(amount)
        }
        #expect(histogram.count == 5)
        #expect(histogram.counts.first == 2 && histogram.counts[1] == 1)
        #expect(histogram.counts.last == 1 && histogram.counts[Histogram.bounds.count - 1] == 1)
        #expect(abs(histogram.sum - 121.001001) < 1e-6)
    }

    @Test(
        "each limit has its own reason",
        arguments: [
            (Problem(.functionTimeout, "", reason: "timeout"), CallMetrics.Limit.time),
            (Problem(.functionTimeout, "", reason: "cpu"), .cpu),
            (Problem(.functionCrashed, "", reason: "out-of-memory"), .memory), (Problem(.responseTooLarge, ""), .response),
            (Problem(.tooLarge, ""), .request), (Problem(.functionRaised, "", reason: "open-files"), .openFiles),
            (Problem(.functionRaised, "", reason: "tmp"), .tmp), (Problem(.functionRaised, "", reason: "pids"), .pids),
        ])
    func limits(problem: Problem, limit: CallMetrics.Limit) { #expect(CallMetrics.Limit(problem) == limit) }

    @Test("other problems are no limit's")
    func none() {
        #expect(CallMetrics.Limit(Problem(.functionRaised, "")) == nil)
        #expect(CallMetrics.Limit(Problem(.functionCrashed, "", reason: "protocol")) == nil)
    }

    @Test("phases add up to the whole")
    func serverTiming() {
        let begin = NIODeadline.now()
        var times = CallTimes(received: begin, authorized: begin + .microseconds(10))
        times.complete = begin + .microseconds(30)
        times.begun = begin + .microseconds(130)
        times.replied = begin + .microseconds(1130)
        #expect(
            times.serverTiming(until: begin + .microseconds(1135))
                == "auth;dur=0.010, body;dur=0.020, queue;dur=0.100, handler;dur=1.000, redact;dur=0.005")
        var start = StartTimes(asked: begin + .microseconds(40))
        start.slot = begin + .microseconds(50)
        start.mounted = begin + .microseconds(80)
        start.sent = begin + .microseconds(85)
        start.loaded = begin + .microseconds(120)
        times.start = start
        #expect(
            times.serverTiming(until: begin + .microseconds(1135))
                == "auth;dur=0.010, body;dur=0.020, queue;dur=0.010, slot;dur=0.010, mount;dur=0.030, secrets;dur=0.005, "
                + "import;dur=0.035, handover;dur=0.010, handler;dur=1.000, redact;dur=0.005")
    }
}

@Suite("The memory of frozen instances")
struct FrozenBudgetTests {
    @Test("those admitted first go first, until the rest fits")
    func evict() {
        var budget = FrozenBudget<Int>(limit: 100)
        #expect(budget.admit(1, bytes: 40).isEmpty)
        #expect(budget.admit(2, bytes: 40).isEmpty)
        #expect(budget.admit(3, bytes: 40) == [1])
        #expect(budget.used == 80 && budget.count == 2)
        #expect(budget.admit(4, bytes: 100) == [2, 3])
    }

    @Test("one larger than the budget does not stay")
    func tooLarge() {
        var budget = FrozenBudget<Int>(limit: 100)
        #expect(budget.admit(1, bytes: 101) == [1])
        #expect(budget.used == 0 && budget.count == 0)
    }

    @Test("one taken out, or admitted again, counts once")
    func again() {
        var budget = FrozenBudget<Int>(limit: 100)
        _ = budget.admit(1, bytes: 60)
        #expect(budget.admit(1, bytes: 70).isEmpty)
        #expect(budget.used == 70)
        budget.remove(1)
        budget.remove(1)
        #expect(budget.used == 0)
    }
}
