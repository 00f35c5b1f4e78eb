import CasemateModel
import Foundation
import GRDB
import Synchronization
import Testing

@testable import CasemateStore

@Suite("The queue of asynchronous calls")
struct CallQueueTests {
    let folder: URL
    let queue: CallQueue
    let function = FunctionId()
    let namespace = NamespaceId()

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("casemate-queue-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        queue = try CallQueue(path: folder.path + "/queue.db", worker: "one")
    }

    func new(
        _ rules: AsyncRules = AsyncRules(), limits: QueueLimits = QueueLimits(), key: String? = nil,
        idempotency: NewCall.Idempotency? = nil,
        of function: FunctionId? = nil, at time: Int64 = 1_000
    ) -> NewCall {
        NewCall(
            id: CallId(), functionId: function ?? self.function, namespaceId: namespace, owner: "key:1", subject: "key:1",
            request: [1, 2, 3],
            created: Timestamp(milliseconds: time), rules: rules, limits: limits, orderKey: key.map { Array($0.utf8) },
            idempotency: idempotency)
    }

    func accept(_ call: NewCall) async throws -> Acceptance {
        try await withCheckedThrowingContinuation { continuation in queue.accept(call) { continuation.resume(with: $0) } }
    }

    func claim(_ limit: Int = 10, at time: Int64 = 2_000, on queue: CallQueue? = nil) async throws -> [ClaimedCall] {
        try await withCheckedThrowingContinuation { continuation in
            (queue ?? self.queue).claim(limit, of: function, at: Timestamp(milliseconds: time)) { result in
                continuation.resume(with: result.map(\.claimed))
            }
        }
    }

    func end(_ call: QueuedCall, _ state: CallState = .succeeded, result: [UInt8]? = [9]) async throws -> QueuedCall? {
        try await withCheckedThrowingContinuation { continuation in
            queue.end(call, state, AttemptOutcome(status: 200), result: result, at: Timestamp(milliseconds: 3_000)) {
                continuation.resume(with: $0)
            }
        }
    }

    func giveBack(_ call: QueuedCall, until time: Int64, counts: Bool = true) async throws -> Bool {
        try await withCheckedThrowingContinuation { continuation in
            queue.giveBack(
                call, until: Timestamp(milliseconds: time), counts: counts, AttemptOutcome(status: 500)
            ) { continuation.resume(with: $0) }
        }
    }

    @Test("a call is accepted, claimed and ended, and keeps its result")
    func way() async throws {
        let call = new()
        #expect(try await accept(call) == .accepted)
        #expect(queue.depth(of: function)?.queued == 1)
        let claimed = try #require(try await claim().first)
        #expect(claimed.call.id == call.id && claimed.call.state == .running && claimed.request == [1, 2, 3])
        #expect(try await claim().isEmpty)
        let ended = try #require(try await end(claimed.call))
        #expect(ended.state == .succeeded && ended.attempts == 1)
        #expect(try await queue.result(call.id)?.sealed == [9])
        #expect(queue.depth(of: function) == nil)
    }

    @Test("only the newest claim counts")
    func fence() async throws {
        _ = try await accept(new())
        let first = try #require(try await claim().first?.call)
        let other = try CallQueue(path: folder.path + "/queue.db", worker: "two")
        let taken = try await other.takeBack(at: Timestamp(milliseconds: 2_000)) { $0 == "one" }
        #expect(taken.map(\.id) == [first.id])
        let second = try #require(try await claim(on: other).first?.call)
        #expect(second.fence == first.fence + 1)
        #expect(try await end(first) == nil, "the one before must not count")
        #expect(try await !giveBack(first, until: 0))
        #expect(try await end(second)?.state == .succeeded)
        #expect(try await end(second) == nil, "nor twice")
    }

    @Test("a lease that is not renewed runs out, and one that is does not")
    func leases() async throws {
        _ = try await accept(new())
        _ = try await claim(at: 2_000)
        let other = try CallQueue(path: folder.path + "/queue.db", worker: "two")
        #expect(try await other.takeBack(at: Timestamp(milliseconds: 31_000)) { _ in false }.isEmpty)
        try await queue.renewLeases(at: Timestamp(milliseconds: 30_000))
        #expect(try await other.takeBack(at: Timestamp(milliseconds: 59_000)) { _ in false }.isEmpty)
        #expect(try await other.takeBack(at: Timestamp(milliseconds: 61_000)) { _ in false }.count == 1)
    }

    @Test("what was to be tried once has failed when its server ends")
    func once() async throws {
        _ = try await accept(new(AsyncRules(maxAttempts: 1)))
        let call = try #require(try await claim().first?.call)
        let other = try CallQueue(path: folder.path + "/queue.db", worker: "two")
        _ = try await other.takeBack(at: Timestamp(milliseconds: 2_000)) { _ in true }
        let ended = try #require(try await other.call(call.id))
        #expect(ended.state == .failed && ended.problem == "interrupted")
    }

    @Test("what ends its server each time becomes a dead letter")
    func poison() async throws {
        let call = new(AsyncRules(maxAttempts: 3))
        _ = try await accept(call)
        let other = try CallQueue(path: folder.path + "/queue.db", worker: "two")
        for _ in 0..<10 {
            #expect(try await claim(at: 100_000).count == 1)
            _ = try await other.takeBack(at: Timestamp(milliseconds: 2_000)) { _ in true }
        }
        #expect(try await queue.call(call.id)?.state == .dead)
    }

    @Test("calls of one key run one after the other, also when the first is tried again")
    func order() async throws {
        let calls = [new(key: "a", at: 1), new(key: "a", at: 2), new(key: "b", at: 3), new(key: "a", at: 4), new(at: 5)]
        for call in calls { _ = try await accept(call) }
        let first = try await claim()
        #expect(first.map(\.call.id) == [calls[0].id, calls[2].id, calls[4].id])
        #expect(try await giveBack(first[0].call, until: 5_000))
        #expect(try await claim(at: 4_999).isEmpty)
        let again = try #require(try await claim(at: 5_000).first)
        #expect(again.call.id == calls[0].id && again.call.attempts == 1)
        _ = try await end(again.call, .dead, result: nil)
        let second = try #require(try await claim().first)
        #expect(second.call.id == calls[1].id)
        _ = try await queue.cancel(calls[1].id, by: "x", at: .now)
        #expect(try await claim().map(\.call.id) == [calls[3].id])
    }

    @Test("the same key and request are one call, another request is refused")
    func idempotency() async throws {
        let first = new(idempotency: .init(scope: [1], request: [7]))
        let second = new(idempotency: .init(scope: [1], request: [7]))
        async let one = accept(first)
        async let two = accept(second)
        let found = try await [one, two]
        #expect(found.filter { $0 == .accepted }.count == 1)
        #expect(queue.depth(of: function)?.queued == 1)
        await #expect(throws: Problem(.keyReused, "")) { _ = try await accept(new(idempotency: .init(scope: [1], request: [8]))) }
        #expect(try await accept(new(idempotency: .init(scope: [2], request: [8]))) == .accepted)
    }

    @Test("no more are accepted than the limits allow, also when they come at once")
    func limits() async throws {
        let limits = QueueLimits(perFunction: 5, perNamespace: 7)
        let accepted = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<40 { group.addTask { (try? await accept(new(limits: limits))) != nil } }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(accepted == 5)
        for _ in 0..<2 { _ = try await accept(new(limits: limits, of: FunctionId())) }
        await #expect(throws: Problem(.queueFull, "")) { _ = try await accept(new(limits: limits, of: FunctionId())) }
        let claimed = try await claim()
        _ = try await end(claimed[0].call)
        #expect(try await accept(new(limits: limits)) == .accepted)
        await #expect(throws: Problem(.queueFull, "")) {
            _ = try await accept(new(limits: QueueLimits(bytes: 2), of: FunctionId()))
        }
    }

    @Test("what waits too long is a dead letter")
    func age() async throws {
        let call = new(AsyncRules(maxAgeInMilliseconds: 1_000), at: 1_000)
        _ = try await accept(call)
        #expect(try await claim(at: 2_001).isEmpty)
        let ended = try #require(try await queue.call(call.id))
        #expect(ended.state == .dead && ended.problem == "too-old")
    }

    @Test("a clock that was set makes nothing wait longer")
    func clock() async throws {
        let call = new(at: 10_000)
        _ = try await accept(call)
        try await queue.write { db in try CallQueue.shift(byMilliseconds: -9_000, db) }
        #expect(try await claim(at: 1_000).count == 1)
        #expect(try await queue.call(call.id)?.expires == Timestamp(milliseconds: 1_000 + AsyncRules().maxAgeInMilliseconds))
    }

    @Test("a commit waits for the disk")
    func synchronous() async throws {
        #expect(try await queue.write { db in try Int.fetchOne(db, sql: "PRAGMA synchronous") } == 2)
    }

    @Test("what workers ask for goes through what is open, however much has ended")
    func claims() async throws {
        let asked = Mutex<Set<String>>([])
        try await queue.write { db in
            db.trace { event in if case .statement(let statement) = event { _ = asked.withLock { $0.insert(statement.sql) } } }
        }
        _ = try await accept(new(at: 0))
        _ = try await claim(at: 1)
        _ = try await queue.expire(at: Timestamp(milliseconds: 2))
        try await queue.renewLeases(at: Timestamp(milliseconds: 2))
        _ = try await queue.takeBack(at: Timestamp(milliseconds: 2)) { _ in false }
        try await queue.write { db in try CallQueue.shift(byMilliseconds: 1, db) }
        let texts = asked.withLock { $0 }.filter { $0.contains("calls") && ($0.hasPrefix("SELECT") || $0.hasPrefix("UPDATE")) }
        #expect(texts.count >= 6)
        let plans = try await queue.write { db in
            db.trace(nil)
            return try texts.flatMap { sql in
                let bound = sql.replacing(/\?1?/, with: "0")
                return try Row.fetchAll(db, sql: "EXPLAIN QUERY PLAN " + bound).map { ($0["detail"] as String, sql) }
            }
        }
        for (step, sql) in plans where step.contains(" calls") {
            let isNarrow = step.contains("calls_open") || step.contains("calls_ready") || step.contains("rowid=") || step.contains("(id=?)")
            #expect(isNarrow, "\(step): \(sql)")
        }
    }

    @Test("a page of the list costs no more where there are many", arguments: [nil, CallState.queued, .succeeded])
    func list(state: CallState?) async throws {
        for time in 0..<30 { _ = try await accept(new(at: Int64(time / 3))) }
        for claimed in try await claim(12) { _ = try await end(claimed.call) }
        var seen: [CallId] = []
        var filter = CallFilter(place: .namespace(namespace), states: state.map { [$0] } ?? [], limit: 7)
        while true {
            let page = try await queue.calls(filter)
            seen += page.map(\.id)
            guard page.count == 7, let last = page.last else { break }
            filter.after = CallFilter.Cursor(CallFilter.Cursor(last).description)
        }
        let expected = state == nil ? 30 : state == .queued ? 18 : 12
        #expect(seen.count == expected && Set(seen).count == expected)
        let both = try await queue.calls(CallFilter(place: .function(function), states: [.queued, .succeeded], limit: 100))
        #expect(both.map(\.created) == both.map(\.created).sorted(by: >) && both.count == 30)
    }

    @Test("the plan of each list uses an index for its order")
    func plans() async throws {
        for sql in [
            "namespace_id = 'a'", "function_id = 'a'", "namespace_id = 'a' AND state = 'dead'", "function_id = 'a' AND state = 'dead'",
        ] {
            let plan = try await queue.database.read { db in
                try Row.fetchAll(db, sql: "EXPLAIN QUERY PLAN SELECT id FROM calls WHERE \(sql) ORDER BY created DESC, seq DESC LIMIT 5")
                    .map { $0["detail"] as String }.joined(separator: "; ")
            }
            #expect(plan.contains("USING INDEX") && !plan.contains("TEMP B-TREE"), "\(sql): \(plan)")
        }
    }

    @Test("a dead letter is told of once")
    func told() async throws {
        _ = try await accept(new())
        let call = try #require(try await claim().first?.call)
        let dead = try #require(try await end(call, .dead))
        #expect(try await queue.untoldDeadLetters(after: 0).map(\.id) == [dead.id])
        let letter = new(of: FunctionId())
        try await queue.setTold(dead, with: letter)
        try await queue.setTold(dead, with: new(of: FunctionId()))
        #expect(try await queue.untoldDeadLetters(after: 0).isEmpty)
        #expect(queue.open.values.reduce(0) { $0 + $1.queued } == 1)
    }

    @Test("an instant of a schedule is heeded once, and a full queue leaves it unheeded")
    func fires() async throws {
        let schedule = ScheduleId()
        let instant = Timestamp(milliseconds: 60_000)
        #expect(try await queue.fire(new(), of: schedule, at: instant, missed: 0))
        #expect(try await !queue.fire(new(), of: schedule, at: instant, missed: 0))
        #expect(try await !queue.pass(instant, of: schedule, .skipped, missed: 1))
        #expect(queue.depth(of: function)?.queued == 1)
        let next = Timestamp(milliseconds: 120_000)
        await #expect(throws: Problem(.queueFull, "")) {
            _ = try await queue.fire(new(limits: QueueLimits(perFunction: 1)), of: schedule, at: next, missed: 0)
        }
        #expect(try await queue.pass(next, of: schedule, .refused, missed: 0))
        #expect(try await queue.cursors()[schedule] == next)
        #expect(try await queue.fires(of: schedule, limit: 5).map(\.fire.outcome) == [.refused, .fired])
    }

    @Test("what was counted is counted anew when it is opened again")
    func counts() async throws {
        for _ in 0..<3 { _ = try await accept(new()) }
        _ = try await claim(1)
        let again = try CallQueue(path: folder.path + "/queue.db", worker: "two")
        #expect(again.depth(of: function) == queue.depth(of: function))
        #expect(again.depth(of: function)?.queued == 2 && again.depth(of: function)?.running == 1)
    }

    private func stored() async throws -> Int {
        try await queue.write { [namespace] db in
            try Int.fetchOne(db, sql: "SELECT bytes FROM kept WHERE namespace_id = ?", arguments: [namespace.text]) ?? 0
        }
    }

    private func ended(_ state: CallState, at time: Int64, result: [UInt8]?) async throws -> CallId {
        _ = try await accept(new(at: time))
        let call = try #require(try await claim(1).first?.call)
        _ = try #require(try await end(call, state, result: result))
        return call.id
    }

    @Test("what is stored is counted, and a request goes once nobody needs it any more")
    func counted() async throws {
        _ = try await ended(.succeeded, at: 1, result: [1, 2])
        #expect(try await stored() == 2)
        let dead = try await ended(.dead, at: 2, result: [1])
        #expect(try await stored() == 2 + 3 + 1)
        #expect(try await queue.request(dead)?.request == [1, 2, 3])
        _ = try await accept(new(at: 3))
        #expect(try await stored() == 2 + 3 + 1 + 3)
        try await queue.removeAll(of: function)
        #expect(try await stored() == 0)
    }

    @Test("what is stored makes room, what succeeded first, dead letters last, and only then nothing more is accepted")
    func room() async throws {
        let dead = try await ended(.dead, at: 1, result: nil)
        let good = try await ended(.succeeded, at: 2, result: Array(repeating: 7, count: 10))
        let failed = try await ended(.failed, at: 3, result: nil)
        #expect(try await stored() == 16)
        _ = try await accept(new(limits: QueueLimits(storedBytes: 9), at: 4))
        #expect(try await queue.call(good) == nil)
        for other in [failed, dead] { #expect(try await queue.call(other) != nil) }
        _ = try await accept(new(limits: QueueLimits(storedBytes: 9), at: 5))
        #expect(try await queue.call(failed) == nil)
        #expect(try await queue.call(dead) != nil)
        await #expect(throws: Problem(.queueFull, "")) { _ = try await accept(new(limits: QueueLimits(storedBytes: 8), at: 6)) }
        #expect(try await stored() <= 9)
    }

    @Test("a result for which there is no room is not kept, and its call has ended all the same")
    func large() async throws {
        _ = try await accept(new())
        let call = try #require(try await claim().first?.call)
        let ended: QueuedCall? = try await withCheckedThrowingContinuation { continuation in
            queue.end(
                call, .succeeded, AttemptOutcome(status: 200), result: Array(repeating: 1, count: 100),
                limits: QueueLimits(storedBytes: 50),
                at: Timestamp(milliseconds: 3_000)
            ) { continuation.resume(with: $0) }
        }
        #expect(ended?.state == .succeeded)
        #expect(try await queue.result(call.id)?.sealed == nil)
    }

    @Test("what is made once more keeps its place in an order")
    func orderOnceMore() async throws {
        _ = try await accept(new(key: "k", at: 1))
        let first = try #require(try await claim().first)
        _ = try #require(try await end(first.call, .dead, result: nil))
        _ = try await accept(new(key: "k", at: 2))
        let second = try #require(try await claim().first)
        _ = try await queue.redrive(first, as: new(at: 3))
        #expect(try await claim(at: 9_000).isEmpty, "one of its key runs")
        _ = try await end(second.call)
        #expect(try await claim(at: 9_000).count == 1)
    }

    @Test("a schedule keeps its latest fires, however many others there are")
    func pruned() async throws {
        let schedules = [ScheduleId(), ScheduleId()]
        try await queue.write { db in
            for schedule in schedules {
                try db.execute(
                    sql: """
                        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2100)
                        INSERT INTO fires (schedule_id, instant, outcome, at) SELECT ?, i, 'skipped', i FROM n
                        """, arguments: [schedule.text])
            }
        }
        for schedule in schedules { try await queue.setCursor(Timestamp(milliseconds: 2_100), of: schedule) }
        try await queue.pruneFires()
        for schedule in schedules {
            let kept = try await queue.fires(of: schedule, limit: 5_000)
            #expect(kept.count == 2_000 && kept.first?.fire.instant == Timestamp(milliseconds: 2_100))
        }
    }

    @Test("a copy is made beside what goes on")
    func copy() async throws {
        _ = try await accept(new())
        try await queue.copy(to: folder.path + "/copy.db")
        let copy = try CallQueue(path: folder.path + "/copy.db", worker: "two")
        #expect(copy.depth(of: function)?.queued == 1)
    }
}
