import Testing

@testable import CasemateSandbox

@Suite("Decisions of the sandbox pool")
struct SandboxPoolStateTests {
    private typealias State = SandboxPoolState<Int, String>

    private func connected(target: Int, mostStarting: Int = 8, mostWaiting: Int = 1000) -> State {
        var state = State(target: target, mostStarting: mostStarting, mostWaiting: mostWaiting)
        _ = state.wardenConnected()
        return state
    }

    @Test("without a warden nothing starts and a wish is refused at once")
    func disconnected() {
        var state = State(target: 4)
        let actions = state.wanted(by: "a")
        #expect(actions.refuse == ["a"] && actions.give.isEmpty && actions.start == 0)
        #expect(state.becameReady(1).give.isEmpty && state.ready.isEmpty)
        #expect(state.startFailed().start == 0)
        #expect(state.lost { _ in true }.start == 0)
    }

    @Test("a warden that comes fills the pool to its target, by turns", arguments: [(0, 0), (1, 1), (4, 4), (8, 8), (20, 8)])
    func connect(target: Int, start: Int) {
        var state = State(target: target)
        #expect(state.wardenConnected().start == start)
        #expect(state.starting == start)
    }

    @Test("each one that becomes ready starts the next, until the target is ready")
    func fill() {
        var state = connected(target: 20)
        var started = state.starting
        var made = 0
        while made < started {
            started += state.becameReady(made).start
            made += 1
            #expect(state.starting <= 8)
        }
        #expect(started == 20 && state.ready.count == 20 && state.starting == 0)
    }

    @Test("a ready sandbox is given once, and another is started in its place")
    func give() {
        var state = connected(target: 2)
        _ = state.becameReady(1)
        _ = state.becameReady(2)
        var given: [Int] = []
        for waiter in ["a", "b"] {
            let actions = state.wanted(by: waiter)
            #expect(actions.give.map(\.0) == [waiter])
            // The last one is made up for at once, those before it in a moment.
            #expect(actions.start == (waiter == "a" ? 0 : 2) && actions.refillsLater == (waiter == "a") && actions.refuse.isEmpty)
            given += actions.give.map(\.1)
        }
        #expect(Set(given) == [1, 2])
        #expect(state.ready.isEmpty)
        #expect(state.wanted(by: "c").give.isEmpty)
        #expect(state.waiters == ["c"])
    }

    @Test("what was put off is made up for, once")
    func refillNow() {
        var state = connected(target: 3)
        for sandbox in 1...3 { _ = state.becameReady(sandbox) }
        #expect(state.wanted(by: "a").refillsLater && state.wanted(by: "b").refillsLater)
        #expect(state.refillNow().start == 2)
        #expect(state.refillNow().start == 0)
        _ = state.wardenDisconnected()
        #expect(state.refillNow().start == 0)
    }

    @Test("who waits is served in turn, before the pool")
    func waiters() {
        var state = connected(target: 1)
        for waiter in ["a", "b", "c"] { #expect(state.wanted(by: waiter).start == 1) }
        #expect(state.starting == 4)
        #expect(state.becameReady(1).give.map(\.0) == ["a"])
        #expect(state.becameReady(2).give.map(\.0) == ["b"])
        #expect(state.becameReady(3).give.map(\.0) == ["c"])
        let last = state.becameReady(4)
        #expect(last.give.isEmpty && last.start == 0 && state.ready == [4])
    }

    @Test("a storm starts no more at once than the limit, and refuses who waits beyond the other")
    func storm() {
        var state = connected(target: 0, mostStarting: 3, mostWaiting: 5)
        var started = 0
        var refused: [String] = []
        for number in 0..<10 {
            let actions = state.wanted(by: "\(number)")
            started += actions.start
            refused += actions.refuse
        }
        #expect(started == 3 && state.starting == 3)
        #expect(state.waiters.count == 5)
        #expect(refused == ["5", "6", "7", "8", "9"])
        #expect(state.becameReady(1).start == 1)
    }

    @Test("a start that fails tells the one who has waited longest, and starts none at once")
    func startFailed() {
        var state = connected(target: 0)
        _ = state.wanted(by: "a")
        _ = state.wanted(by: "b")
        let actions = state.startFailed()
        #expect(actions.refuse == ["a"] && actions.start == 0 && actions.give.isEmpty)
        #expect(state.waiters == ["b"] && state.starting == 1)
    }

    @Test("a start that fails while nobody waits is made up for by the next look")
    func startFailedQuietly() {
        var state = connected(target: 2)
        #expect(state.startFailed().start == 0)
        #expect(state.starting == 1)
        #expect(state.lost { _ in false }.start == 1)
        #expect(state.starting == 2)
    }

    @Test("failures beyond what was started do not count below none")
    func strayFailure() {
        var state = connected(target: 1)
        for _ in 0..<3 { _ = state.startFailed() }
        #expect(state.starting == 0)
        _ = state.becameReady(1)
        #expect(state.starting == 0 && state.ready == [1])
    }

    @Test("a ready one that died is replaced and never given")
    func lost() {
        var state = connected(target: 2)
        _ = state.becameReady(1)
        _ = state.becameReady(2)
        #expect(state.lost { $0 == 2 }.start == 1)
        #expect(state.wanted(by: "a").give.map(\.1) == [1])
    }

    @Test("a warden that goes takes every sandbox, and who waits is told")
    func disconnect() {
        var state = connected(target: 1)
        _ = state.becameReady(1)
        let idle = state.wardenDisconnected()
        #expect(idle.lost == [1] && idle.actions.refuse.isEmpty)
        #expect(state.ready.isEmpty && state.starting == 0)
        _ = state.wardenConnected()
        _ = state.wanted(by: "a")
        _ = state.wanted(by: "b")
        let (lost, actions) = state.wardenDisconnected()
        #expect(lost.isEmpty)
        #expect(actions.refuse == ["a", "b"] && actions.give.isEmpty && actions.start == 0)
        #expect(state.waiters.isEmpty && !state.isConnected)
        #expect(state.wanted(by: "c").refuse == ["c"])
        #expect(state.wardenConnected().start == 1)
    }

    @Test("a burst raises the target at once up to the most, and a lull lowers it look by look")
    func adapts() {
        var state = State(target: 1, most: 4)
        _ = state.wardenConnected()
        _ = state.becameReady(0)
        for number in 0..<10 { _ = state.wanted(by: "\(number)") }
        #expect(state.target == 4)
        for sandbox in 1...13 { _ = state.becameReady(sandbox) }
        #expect(state.waiters.isEmpty && state.ready.count == 4)
        var ended: [Int] = []
        for _ in 0..<30 { ended += state.look().end }
        #expect(state.target == 1 && state.ready.count == 1)
        #expect(ended.count == 3 && Set(ended).isDisjoint(with: state.ready))
    }

    @Test("without a most the target stays")
    func fixed() {
        var state = connected(target: 2)
        for number in 0..<10 { _ = state.wanted(by: "\(number)") }
        _ = state.look()
        #expect(state.target == 2)
    }

    @Test("in any order of events nothing is given twice, nobody is forgotten, and no limit is passed")
    func anyOrder() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let target = Int.random(in: 0...4)
            var state = State(target: target, mostStarting: 3, mostWaiting: 6)
            var inFlight = 0
            var nextSandbox = 0
            var nextWaiter = 0
            var given: Set<Int> = []
            var asked: Set<String> = []
            var answered: [String] = []
            func take(_ actions: State.Actions) {
                for (waiter, sandbox) in actions.give {
                    #expect(given.insert(sandbox).inserted)
                    answered.append(waiter)
                }
                answered += actions.refuse
                inFlight += actions.start
            }
            for _ in 0..<200 {
                switch Int.random(in: 0..<10, using: &random) {
                case 0: take(state.wardenConnected())
                case 1 where Bool.random():
                    let (_, actions) = state.wardenDisconnected()
                    inFlight = 0
                    take(actions)
                case 2...5:
                    let waiter = "w\(nextWaiter)"
                    nextWaiter += 1
                    asked.insert(waiter)
                    take(state.wanted(by: waiter))
                case 6, 7:
                    guard inFlight > 0 else { continue }
                    inFlight -= 1
                    nextSandbox += 1
                    take(state.becameReady(nextSandbox))
                case 8 where inFlight > 0:
                    inFlight -= 1
                    take(state.startFailed())
                default:
                    // Without a warden there is none to lose; the first test says what then holds.
                    guard state.isConnected else { continue }
                    let parity = Int.random(in: 0...1)
                    take(state.lost { $0 % 2 == parity })
                }
                #expect(state.starting <= 3 && state.waiters.count <= 6)
                #expect(state.isConnected || (state.ready.isEmpty && state.waiters.isEmpty && state.starting == 0))
                // Whoever waits, waits because none is ready.
                #expect(state.waiters.isEmpty || state.ready.isEmpty)
                #expect(state.ready.count <= target)
                #expect(Set(state.ready).isDisjoint(with: given))
                #expect(Set(answered).count == answered.count)
                #expect(Set(answered).union(state.waiters) == asked)
                #expect(Set(answered).isDisjoint(with: state.waiters))
            }
        }
    }
}
