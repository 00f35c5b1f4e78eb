import CasemateIdentity
import CasemateModel
import CasemateStore
import CasemateVault
import Foundation
import Logging
import NIOCore
import NIOHTTP1

/// Has functions called at their times. What a schedule has done stands in the queue, in one commit with the call: no time is heeded twice,
/// whatever ends in between, and however the clock is set.
///
/// One task waits for the nearest time of all: schedules that are not due cost nothing.
package actor Scheduler {
    private struct Entry: Sendable {
        var schedule: Schedule
        var function: FunctionId
        var due: DueTimes
        /// What was heeded up to and with this.
        var cursor: Timestamp
        /// Grows when the entry changes: what was planned before does not count.
        var version: Int
    }

    private let records: Records
    private let queue: CallQueue
    private let keys: CallKeys
    private let catalog: Catalog
    private let audit: AuditLog
    private let logs: LogStore
    private let logger: Logger
    private let arrived: @Sendable (FunctionId) -> Void
    /// What an account may do at this moment.
    private let rightsNow: @Sendable (Principal) -> GrantedRights
    private var entries: [ScheduleId: Entry] = [:]
    private var plan: [(time: Timestamp, id: ScheduleId, version: Int)] = []
    private var version = 0
    private var lastSeen = Timestamp.now
    private var lastLook = Monotonic.now
    private var sleeper: Task<Void, Never>?
    private var reloading: Task<Void, any Error>?
    package private(set) var metrics = ScheduleMetrics()

    /// The clock may be set meanwhile.
    private static let longestSleep = Duration.seconds(1)
    private static let drift: Int64 = 2_000

    package init(
        records: Records, queue: CallQueue, keys: CallKeys, catalog: Catalog, audit: AuditLog, logs: LogStore, logger: Logger,
        arrived: @Sendable @escaping (FunctionId) -> Void, rightsNow: @Sendable @escaping (Principal) -> GrantedRights
    ) {
        self.records = records
        self.queue = queue
        self.keys = keys
        self.catalog = catalog
        self.audit = audit
        self.logs = logs
        self.logger = logger
        self.arrived = arrived
        self.rightsNow = rightsNow
    }

    package func load() async throws {
        let (all, cursors) = (try await records.read { try $0.schedules() }, try await queue.cursors())
        for schedule in all { set(schedule, cursor: cursors[schedule.id] ?? schedule.created) }
        try await queue.removeFires(exceptOf: Set(all.map(\.id)))
    }

    /// A function was deployed or is gone, or somebody changed its schedules.
    /// - Parameter resumed: one whose times up to now do not count.
    package func reload(_ function: FunctionId, resumed: ScheduleId? = nil) async throws {
        // One after the other: what one has read must not be put back over what the next has found.
        let before = reloading
        let task = Task {
            _ = await before?.result
            try await reloadNow(function, resumed: resumed)
        }
        reloading = task
        try await task.value
    }

    private func reloadNow(_ function: FunctionId, resumed: ScheduleId?) async throws {
        let now = Timestamp.now
        let all = try await records.read { try $0.schedules(of: function) }
        for (id, entry) in entries where entry.function == function && !all.contains(where: { $0.id == id }) { entries[id] = nil }
        for schedule in all {
            let before = entries[schedule.id]
            if let before, before.schedule == schedule, resumed != schedule.id { continue }
            let isSameTimes = before.map { $0.schedule.cron == schedule.cron && $0.schedule.timeZone == schedule.timeZone } ?? false
            // What its times were before it had them is no time of its.
            let cursor = isSameTimes && resumed != schedule.id ? before?.cursor ?? now : now
            if before == nil || !isSameTimes || resumed == schedule.id { try await queue.setCursor(cursor, of: schedule.id) }
            set(schedule, cursor: cursor)
        }
        sleeper?.cancel()
    }

    /// When it fires next; nil while it is paused, and for what is not there.
    package func next(of id: ScheduleId) -> Timestamp? {
        guard let entry = entries[id], !entry.schedule.isPaused else { return nil }
        return entry.due.next(max(entry.cursor, min(Timestamp.now, lastSeen)))
    }

    private func set(_ schedule: Schedule, cursor: Timestamp) {
        guard let zone = SystemZone(schedule.timeZone) else {
            return logger.error("a schedule's time zone is not known any more", metadata: ["schedule": "\(schedule.id)"])
        }
        version += 1
        let due = DueTimes(next: { schedule.cron.next(after: $0, in: zone) }, missed: schedule.missed)
        // One from the future: the clock was wrong then, or is now.
        let entry = Entry(schedule: schedule, function: schedule.functionId, due: due, cursor: min(cursor, .now), version: version)
        entries[schedule.id] = entry
        if !schedule.isPaused, let next = due.next(entry.cursor) { put(next, schedule.id, version) }
    }

    // MARK: The nearest first (a binary heap)

    private func put(_ time: Timestamp, _ id: ScheduleId, _ version: Int) {
        plan.append((time, id, version))
        var child = plan.count - 1
        while child > 0, plan[child].time < plan[(child - 1) / 2].time {
            plan.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private func takeFirst() -> (time: Timestamp, id: ScheduleId, version: Int) {
        plan.swapAt(0, plan.count - 1)
        let first = plan.removeLast()
        var parent = 0
        while true {
            let children = [2 * parent + 1, 2 * parent + 2].filter { $0 < plan.count }
            guard let least = children.min(by: { plan[$0].time < plan[$1].time }), plan[least].time < plan[parent].time else { break }
            plan.swapAt(parent, least)
            parent = least
        }
        return first
    }

    // MARK: Time

    /// Until it is cancelled.
    package func run() async {
        while !Task.isCancelled {
            let now = Timestamp.now
            let since = Monotonic.elapsed(from: lastLook, to: Monotonic.now) / 1_000_000
            // It was set at some moment since then: what has come after it was not heeded yet.
            if now.milliseconds < lastSeen.milliseconds - Self.drift { wentBack(to: now.advanced(byMilliseconds: -Int64(since) - 1)) }
            (lastSeen, lastLook) = (now, Monotonic.now)
            while let first = plan.first, first.time <= now, !Task.isCancelled { await heedSome(at: now) }
            let wait =
                plan.first.map { Duration.milliseconds(max(1, $0.time.milliseconds - Timestamp.now.milliseconds)) } ?? Self.longestSleep
            let sleep = Task<Void, Never> { try? await Task.sleep(for: min(wait, Self.longestSleep)) }
            sleeper = sleep
            await withTaskCancellationHandler {
                await sleep.value
            } onCancel: {
                sleep.cancel()
            }
        }
    }

    /// The clock was set back: from here on once more, and what had its call is known by that.
    private func wentBack(to now: Timestamp) {
        logger.warning("the clock was set back", metadata: ["milliseconds": "\(lastSeen.milliseconds - now.milliseconds)"])
        plan = []
        for entry in Array(entries.values) { set(entry.schedule, cursor: min(entry.cursor, now)) }
    }

    /// Together, so that many of one moment share commits and wait for no key of another's.
    private func heedSome(at now: Timestamp) async {
        var due: [Entry] = []
        while let first = plan.first, first.time <= now, due.count < Self.together {
            let (_, id, version) = takeFirst()
            if let entry = entries[id], entry.version == version { due.append(entry) }
        }
        await withDiscardingTaskGroup { group in
            for entry in due { group.addTask { await self.heed(entry, at: now) } }
        }
    }

    private static let together = 256

    private func heed(_ entry: Entry, at now: Timestamp) async {
        let schedule = entry.schedule
        var cursor = entry.cursor
        do {
            switch entry.due.step(after: cursor, at: now) {
            case .wait: break
            case .fire(let instant, let missed):
                try await fire(schedule, instant, missed: missed)
                cursor = instant
            case .skip(let instant, let missed):
                if try await queue.pass(instant, of: schedule.id, .skipped, missed: missed) { noteMissed(schedule, missed, instant) }
                cursor = instant
            }
        } catch {
            // It is tried again in a second, for as long as it is not late.
            logger.error("a schedule could not make its call", metadata: ["schedule": "\(schedule.id)", "error": "\(error)"])
            metrics.failed += 1
            if entries[schedule.id]?.version == entry.version {
                put(now.advanced(byMilliseconds: 1_000), schedule.id, entry.version)
            }
            return
        }
        // It may have been changed meanwhile.
        guard entries[schedule.id]?.version == entry.version else { return }
        entries[schedule.id]?.cursor = cursor
        if let next = entry.due.next(cursor) { put(next, schedule.id, entry.version) }
    }

    private func noteMissed(_ schedule: Schedule, _ missed: Int, _ instant: Timestamp) {
        guard missed > 0 else { return }
        metrics.missed += missed
        let text = "schedule \(schedule.name): \(missed) times passed unheeded, the last at \(instant.rfc3339)"
        logs.append([.platform(text, at: .now)], to: schedule.functionId)
        guard let function = catalog.function(schedule.functionId) else { return }
        audit.note(
            AuditEvent(
                .scheduleMissed, function.auditScope, outcome: .failed, actor: "schedule:\(schedule.id)",
                ["schedule": schedule.name.text, "times": "\(missed)", "last": instant.rfc3339]))
    }

    private func fire(_ schedule: Schedule, _ instant: Timestamp, missed: Int) async throws {
        guard let function = catalog.function(schedule.functionId) else { return }
        if let why = refusal(of: schedule, function) {
            if try await queue.pass(instant, of: schedule.id, .refused, missed: missed) {
                noteMissed(schedule, missed, instant)
                refused(schedule, why)
            }
            return
        }
        do {
            let call = try await call(of: schedule, function, for: instant)
            if try await queue.fire(call, of: schedule.id, at: instant, missed: missed) {
                noteMissed(schedule, missed, instant)
                metrics.fired += 1
                arrived(function.id)
            }
        } catch let problem as Problem where problem.code == .queueFull {
            if try await queue.pass(instant, of: schedule.id, .refused, missed: missed) {
                noteMissed(schedule, missed, instant)
                refused(schedule, problem.detail)
            }
        }
    }

    private func refused(_ schedule: Schedule, _ why: String) {
        metrics.refused += 1
        logs.append([.platform("schedule \(schedule.name) made no call: \(why)", at: .now)], to: schedule.functionId)
    }

    /// Why no call is made on behalf of its account.
    private func refusal(of schedule: Schedule, _ function: Deployed) -> String? {
        guard schedule.account != nil else { return nil }
        return rightsNow(Self.principal(of: schedule)).has(.functionInvoke, on: function.resource)
            ? nil : "the service account that it runs for may not call the function"
    }

    private static func principal(of schedule: Schedule) -> Principal {
        if let account = schedule.account {
            return .serviceAccount(AccountPrincipal(id: account, subject: "service-account:\(account)", rights: .none))
        }
        return .schedule(SchedulePrincipal(id: schedule.id, function: schedule.functionId))
    }

    /// A call of it now, besides its times.
    /// - Throws: `.queueFull`, what keeps its input from being opened.
    package func runNow(_ id: ScheduleId) async throws -> CallId {
        guard let schedule = try await records.read({ try $0.schedule(id) }), let function = catalog.function(schedule.functionId) else {
            throw Problem(.notFound, "there is no such schedule")
        }
        if let why = refusal(of: schedule, function) { throw Problem(.forbidden, why) }
        let call = try await call(of: schedule, function, for: nil)
        _ = try await withCheckedThrowingContinuation { continuation in queue.accept(call) { continuation.resume(with: $0) } }
        arrived(function.id)
        return call.id
    }

    private func call(of schedule: Schedule, _ function: Deployed, for instant: Timestamp?) async throws -> NewCall {
        let id = CallId()
        let key: CallKey
        let body: [UInt8]
        do throws(VaultError) {
            key = try await keys.key(function.id, function.wrappedDataKey)
            if schedule.isOfManifest {
                body = function.spec?.schedules?.first { $0.name == schedule.name }?.input.map { Array($0.utf8) } ?? []
            } else {
                body = try schedule.input.map { input throws(VaultError) in try key.open(input, .input, of: schedule.id.text) } ?? []
            }
        } catch { throw error.problem }
        let caller = Self.principal(of: schedule)
        var headers: HTTPHeaders = [
            "content-type": "application/json", "x-request-id": id.text, "casemate-schedule": schedule.id.text,
        ]
        if let instant { headers.add(name: "casemate-scheduled-time", value: instant.rfc3339) }
        let request = QueuedRequest(
            caller: QueuedCaller(caller), method: .POST, path: "/", query: "", headers: headers, body: ByteBuffer(bytes: body), depth: 0)
        let now = Timestamp.now
        return NewCall(
            id: id, functionId: function.id, namespaceId: function.namespaceId, owner: caller.owner, subject: caller.subject,
            request: try key.seal(request.encoded, .request, of: id.text), created: now,
            available: instant.map { max(now, $0.advanced(byMilliseconds: schedule.delayInMilliseconds(at: $0))) },
            rules: function.spec?.asynchronous ?? AsyncRules(), limits: function.policy.queue,
            schedule: instant.map { (schedule.id, $0) })
    }
}

/// What is counted about schedules.
package struct ScheduleMetrics: Sendable {
    package var fired = 0
    package var missed = 0
    package var refused = 0
    package var failed = 0
}
