import Testing

@testable import CasemateInvoke

@Suite("Decisions on a revision's instances")
struct InstanceSetStateTests {
    private typealias State = InstanceSetState<Int, String>

    @Test("the first call starts one instance and waits for it")
    func first() {
        var state = State(most: 2)
        #expect(state.isEmpty)
        let actions = state.callArrived("a")
        #expect(actions.start == 1 && actions.run.isEmpty && actions.refuse.isEmpty)
        #expect(state.waiters == ["a"] && state.starting == 1 && !state.isEmpty)
        let run = state.started(1).run
        #expect(run.map(\.0) == ["a"] && run.map(\.1) == [1])
        #expect(state.busy == 1 && state.waiters.isEmpty)
    }

    @Test("an idle instance takes the next call at once; the one used last comes first")
    func idle() {
        var state = State(most: 3)
        for waiter in ["a", "b"] { _ = state.callArrived(waiter) }
        _ = state.started(1)
        _ = state.started(2)
        _ = state.finished(1)
        _ = state.finished(2)
        #expect(state.idle == [1, 2])
        let actions = state.callArrived("c")
        #expect(actions.run.map(\.1) == [2] && actions.start == 0)
    }

    @Test("no more than the most are made, and calls wait their turn")
    func most() {
        var state = State(most: 2)
        #expect(["a", "b", "c", "d"].map { state.callArrived($0).start } == [1, 1, 0, 0])
        _ = state.started(1)
        _ = state.started(2)
        #expect(state.waiters == ["c", "d"])
        #expect(state.finished(2).run.map(\.0) == ["c"])
        #expect(state.finished(1).run.map(\.0) == ["d"])
        #expect(state.busy == 2)
    }

    @Test("who waits beyond the limit is refused")
    func waiting() {
        var state = State(most: 1, mostWaiting: 2)
        _ = state.callArrived("a")
        _ = state.callArrived("b")
        #expect(state.callArrived("c").refuse == ["c"])
        _ = state.started(1)
        #expect(state.callArrived("d").refuse.isEmpty)
    }

    @Test("a start that fails tells one, and another start is tried for the next")
    func startFailed() {
        var state = State(most: 1)
        _ = state.callArrived("a")
        _ = state.callArrived("b")
        let actions = state.startFailed()
        #expect(actions.refuse == ["a"] && actions.start == 1)
        let last = state.startFailed()
        #expect(last.refuse == ["b"] && last.start == 0)
        #expect(state.isEmpty)
        // Whose waiter has gone meanwhile.
        _ = state.callArrived("c")
        _ = state.expireWaiters { _ in true }
        #expect(state.startFailed().refuse.isEmpty && state.isEmpty)
    }

    @Test("a lost busy instance makes room for another")
    func lostBusy() {
        var state = State(most: 1)
        _ = state.callArrived("a")
        _ = state.started(1)
        _ = state.callArrived("b")
        #expect(state.lost(1).start == 1)
        #expect(state.started(2).run.map(\.0) == ["b"])
        #expect(state.lost(2).start == 0)
        #expect(state.isEmpty)
    }

    @Test("a lost idle instance is never given again")
    func lostIdle() {
        var state = State(most: 2)
        _ = state.callArrived("a")
        _ = state.started(1)
        _ = state.finished(1)
        #expect(state.lost(1, running: 0).start == 0)
        #expect(state.isEmpty)
        #expect(state.callArrived("b").start == 1)
    }

    @Test("waiters that run out of time are taken out, others stay in their order")
    func expire() {
        var state = State(most: 1)
        for waiter in ["a", "b", "c"] { _ = state.callArrived(waiter) }
        #expect(state.expireWaiters { $0 == "b" } == ["b"])
        #expect(state.waiters == ["a", "c"])
        #expect(state.expireWaiters { $0 == "x" }.isEmpty)
    }

    @Test("idle instances that are stale are taken out")
    func stale() {
        var state = State(most: 3)
        for waiter in ["a", "b"] { _ = state.callArrived(waiter) }
        for instance in [1, 2] { _ = state.started(instance) }
        for instance in [1, 2] { _ = state.finished(instance) }
        #expect(state.takeIdle { $0 == 1 } == [1])
        #expect(state.idle == [2])
        #expect(state.takeIdle { _ in false }.isEmpty)
    }

    @Test("a retired set ends idle instances at once, busy ones after their call, starting ones when they are up")
    func retire() {
        var state = State(most: 3)
        for waiter in ["a", "b", "c"] { _ = state.callArrived(waiter) }
        _ = state.started(1)
        _ = state.started(2)
        _ = state.finished(1)
        // 1 took c; a fourth call is expired before its instance is up.
        #expect(state.busy == 2 && state.starting == 1)
        _ = state.finished(1)
        #expect(state.idle == [1])
        #expect(state.retire().end == [1])
        #expect(state.idle.isEmpty && !state.isEmpty)
        #expect(state.finished(2).end == [2])
        #expect(state.started(3).end == [3])
        #expect(state.isEmpty)
        #expect(state.retire().end.isEmpty)
    }

    @Test("a retired set still serves who waits")
    func retireWaiting() {
        var state = State(most: 1)
        _ = state.callArrived("a")
        _ = state.callArrived("b")
        _ = state.started(1)
        #expect(state.retire().end.isEmpty)
        #expect(state.finished(1).run.map(\.0) == ["b"])
        #expect(state.finished(1).end == [1])
        #expect(state.isEmpty)
    }

    @Test("an instance with several slots takes as many calls, and starts no other for them")
    func concurrency() {
        var state = State(most: 2, concurrency: 3)
        for waiter in ["a", "b", "c", "d"] { _ = state.callArrived(waiter) }
        #expect(state.starting == 2)
        #expect(state.started(1).run.map(\.0) == ["a", "b", "c"])
        #expect(state.started(2).run.map(\.0) == ["d"])
        #expect(state.busy == 4 && state.idle == [2, 2])
        #expect(state.callArrived("e").run.map(\.1) == [2])
        #expect(state.takeIdle { _ in true }.isEmpty)
        for _ in 0..<3 { _ = state.finished(1) }
        #expect(state.takeIdle { _ in true } == [1])
        #expect(state.live == 1)
    }

    @Test("a drained instance takes no more calls, and counts until it is gone")
    func drain() {
        var state = State(most: 1, concurrency: 2)
        _ = state.callArrived("a")
        _ = state.started(1)
        state.drain(1)
        #expect(state.callArrived("b").start == 0)
        #expect(state.lost(1).start == 1)
        #expect(state.started(2).run.map(\.0) == ["b"])
    }

    @Test("the least are kept up without a call, and grow stale but never fewer")
    func least() {
        var state = State(most: 3, least: 2)
        #expect(state.keepLeast().start == 2)
        #expect(state.keepLeast().start == 0)
        for instance in [1, 2] { _ = state.started(instance) }
        #expect(state.takeIdle { _ in true }.isEmpty)
        _ = state.lost(1, running: 0)
        #expect(state.keepLeast().start == 1)
        #expect(state.retire().end == [2])
        #expect(state.keepLeast().start == 0)
    }

    @Test("a frozen instance is thawed for a call before another is started")
    func freeze() {
        var state = State(most: 2)
        #expect(state.prepare().start == 1)
        #expect(state.prepare().start == 0)
        _ = state.started(1)
        let frozen = [state.freeze(1), state.freeze(1)]
        #expect(frozen == [true, false])
        #expect(state.idle.isEmpty && state.frozen == [1])
        let actions = state.callArrived("a")
        #expect(actions.thaw == [1] && actions.start == 0)
        #expect(state.callArrived("b").start == 1)
        #expect(state.thawed(1).run.map(\.0) == ["a"])
        let isBusyFrozen = state.freeze(1)
        #expect(!isBusyFrozen)
        #expect(state.started(2).run.map(\.0) == ["b"])
    }

    @Test("a spare is loaded while all others have calls, and never beyond the most")
    func spare() {
        var state = State(most: 3)
        #expect(state.keepSpare().start == 0, "not before there is a call")
        _ = state.callArrived("a")
        #expect(state.keepSpare().start == 0, "not beside one that starts")
        _ = state.started(1)
        #expect(state.keepSpare().start == 1)
        #expect(state.keepSpare().start == 0)
        #expect(state.started(2).run.isEmpty)
        #expect(state.keepSpare().start == 0, "one is enough")
        let isFrozen = state.freeze(2)
        #expect(isFrozen && state.keepSpare().start == 0)
        #expect(state.callArrived("b").thaw == [2])
        #expect(state.keepSpare().start == 0, "not beside one that is thawed")
        #expect(state.thawed(2).run.map(\.0) == ["b"])
        #expect(state.keepSpare().start == 1)
        _ = state.callArrived("c")
        #expect(state.started(3).run.map(\.0) == ["c"], "a call takes what is on its way")
        #expect(state.keepSpare().start == 0)
        _ = state.retire()
        #expect(state.keepSpare().start == 0)
    }

    @Test("one that can't be thawed is replaced")
    func thawFailed() {
        var state = State(most: 1)
        _ = state.prepare()
        _ = state.started(1)
        _ = state.freeze(1)
        _ = state.callArrived("a")
        #expect(state.thawFailed().start == 1)
        #expect(state.started(2).run.map(\.0) == ["a"])
    }

    @Test("a retired set ends frozen instances at once")
    func retireFrozen() {
        var state = State(most: 2)
        _ = state.prepare()
        _ = state.started(1)
        _ = state.freeze(1)
        #expect(state.retire().end == [1])
        #expect(state.isEmpty)
    }

    @Test("in any order of events no instance runs two calls, nobody is forgotten, and no limit is passed")
    func anyOrder() {
        for _ in 0..<200 {
            let most = Int.random(in: 1...4)
            var state = State(most: most, mostWaiting: 5)
            var inFlight = 0
            var busy: Set<Int> = []
            var nextInstance = 0
            var nextWaiter = 0
            var asked: Set<String> = []
            var answered: [String] = []
            func take(_ actions: State.Actions) {
                for (waiter, instance) in actions.run {
                    #expect(busy.insert(instance).inserted)
                    answered.append(waiter)
                }
                #expect(Set(actions.end).isDisjoint(with: busy))
                answered += actions.refuse
                inFlight += actions.start
            }
            for _ in 0..<150 {
                switch Int.random(in: 0..<10) {
                case 0...3:
                    asked.insert("w\(nextWaiter)")
                    take(state.callArrived("w\(nextWaiter)"))
                    nextWaiter += 1
                case 4, 5:
                    guard inFlight > 0 else { continue }
                    inFlight -= 1
                    nextInstance += 1
                    take(state.started(nextInstance))
                case 6:
                    guard inFlight > 0 else { continue }
                    inFlight -= 1
                    take(state.startFailed())
                case 7:
                    guard let instance = busy.popFirst() else { continue }
                    take(state.finished(instance))
                case 8:
                    guard let instance = busy.popFirst() else { continue }
                    take(state.lost(instance))
                default:
                    let last = "\(Int.random(in: 0...9))"
                    answered += state.expireWaiters { $0.hasSuffix(last) }
                }
                #expect(state.busy == busy.count && state.starting == inFlight)
                #expect(state.busy + state.starting + state.idle.count <= most)
                #expect(state.waiters.count <= 5)
                #expect(Set(state.idle).isDisjoint(with: busy))
                #expect(Set(answered).count == answered.count)
                #expect(Set(answered).union(state.waiters) == asked)
                // Whoever waits has something to wait for.
                #expect(state.waiters.isEmpty || state.busy + state.starting > 0)
            }
        }
    }
}
