import CasemateModel
import CasemateStore
import Foundation
import Logging
import Synchronization

/// Sends recorded events to those who asked for them. The audit log is the queue: what was not sent before a restart is sent after it.
actor AlertDispatcher {
    /// Between attempts for the same event.
    private static let waits: [Duration] = [.seconds(1), .seconds(5), .seconds(30), .seconds(120), .seconds(600)]
    /// An event that nobody took for so long is given up.
    private static let givenUpAfter: Int64 = 24 * 3_600_000
    private static let perSecond = 5.0

    private let records: Records
    private let audit: AuditLog
    private let webhook: Webhook
    private let logger: Logger
    private var tasks: [AlertId: Task<Void, Never>] = [:]
    private let bell = Bell()
    private let recent = RecentRecords()
    private var states: [AlertId: AlertState] = [:]

    init(records: Records, audit: AuditLog, webhook: Webhook, logger: Logger) {
        self.records = records
        self.audit = audit
        self.webhook = webhook
        self.logger = logger
        audit.onWritten { [bell, recent] records in
            recent.add(records)
            bell.ring()
        }
    }

    /// What became of the last attempts.
    struct AlertState: Sendable, Equatable {
        var sent = 0
        var problem: String?
    }

    func state(of alert: AlertId) -> AlertState { states[alert] ?? AlertState() }

    func begin() async {
        for alert in (try? await records.read { try $0.alerts() }) ?? [] { begin(alert) }
    }

    func begin(_ alert: Alert) {
        guard tasks[alert.id] == nil else { return }
        tasks[alert.id] = Task { await run(alert) }
    }

    func end(_ id: AlertId) {
        tasks.removeValue(forKey: id)?.cancel()
        states[id] = nil
    }

    func endAll() {
        for task in tasks.values { task.cancel() }
        tasks = [:]
    }

    func isPrivate(_ url: String) async -> Bool { await webhook.isPrivate(url) }

    /// Sends something made up, once.
    func test(_ alert: Alert) async throws(Webhook.Fault) {
        var record = AuditRecord(AuditEvent(.alertCreated, ["test": "true"]), sequence: 0, previous: "", time: .now)
        record.kind = "alert.test"
        try await webhook.send(record, to: alert)
    }

    private func run(_ start: Alert) async {
        var alert = start
        let reader = AuditReader(folder: audit.folder)
        var allowance = Self.perSecond
        var last = ContinuousClock.now
        while !Task.isCancelled {
            let heard = bell.count
            let cursor = alert.cursor
            let wanted = alert
            guard let found = try? await next(reader, after: cursor, where: { wanted.concerns($0) }) else {
                try? await Task.sleep(for: .seconds(5))
                continue
            }
            // It may have been deleted, or its namespace: then nothing of it leaves any more.
            if !found.records.isEmpty, (try? await records.read { try $0.alerts().contains { $0.id == wanted.id } }) == false {
                return end(wanted.id)
            }
            for record in found.records {
                let now = ContinuousClock.now
                allowance = min(Self.perSecond, allowance + Self.perSecond * ((now - last) / .seconds(1)))
                last = now
                if allowance < 1 { try? await Task.sleep(for: .seconds((1 - allowance) / Self.perSecond)) }
                allowance -= 1
                await deliver(record, to: alert)
                if Task.isCancelled { return }
                await moveOn(&alert, to: record.sequence)
            }
            if found.last > alert.cursor {
                await moveOn(&alert, to: found.last, isWritten: !found.records.isEmpty)
            } else {
                await bell.wait(since: heard)
            }
        }
    }

    private func moveOn(_ alert: inout Alert, to cursor: UInt64, isWritten: Bool = true) async {
        alert.cursor = cursor
        let id = alert.id
        // What did not concern it is looked through again after a restart: cheaper than a write for each record.
        if isWritten || cursor % 1000 == 0 { try? await records.write { try $0.setCursor(cursor, of: id) } }
    }

    private func deliver(_ record: AuditRecord, to alert: Alert) async {
        let begun = Timestamp.now
        var attempt = 0
        while !Task.isCancelled {
            do throws(Webhook.Fault) {
                try await webhook.send(record, to: alert)
                states[alert.id, default: AlertState()].sent += 1
                states[alert.id]?.problem = nil
                return
            } catch {
                if states[alert.id]?.problem == nil {
                    logger.warning("an alert could not be sent", metadata: ["alert": "\(alert.id)", "error": "\(error)"])
                    audit.note(
                        AuditEvent(.alertFailed, outcome: .failed, actor: "server", ["alert": alert.id.text, "problem": "\(error)"]))
                }
                states[alert.id, default: AlertState()].problem = "\(error)"
                guard Timestamp.now.milliseconds - begun.milliseconds < Self.givenUpAfter else { return }
                try? await Task.sleep(for: Self.waits[min(attempt, Self.waits.count - 1)])
                attempt += 1
            }
        }
    }

    /// Of memory where they are there, else of the file, on a thread that may block.
    private func next(
        _ reader: AuditReader, after cursor: UInt64, where isWanted: @Sendable @escaping (AuditRecord) -> Bool
    ) async throws -> (records: [AuditRecord], last: UInt64) {
        if let found = recent.read(after: cursor, limit: 100, where: isWanted) { return found }
        let head = audit.head.sequence
        guard head > cursor else { return ([], cursor) }
        return try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Result { try reader.read(after: cursor, upTo: head, limit: 100, where: isWanted) })
            }
        }
    }
}

/// Wakes whoever waits when something was recorded.
private final class Bell: Sendable {
    private struct State {
        var count: UInt64 = 0
        var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var next: UInt64 = 0
    }

    private let state = Mutex(State())

    var count: UInt64 { state.withLock { $0.count } }

    func ring() {
        let waiting = state.withLock { state in
            state.count += 1
            defer { state.waiting = [:] }
            return state.waiting.values.map { $0 }
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Returns at once where it rang since `count` was asked; else when it rings, or the task is cancelled.
    func wait(since count: UInt64) async {
        let ticket = state.withLock { state in
            state.next += 1
            return state.next
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDue = state.withLock { state in
                    if state.count != count || Task.isCancelled { return true }
                    state.waiting[ticket] = continuation
                    return false
                }
                if isDue { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: ticket) }?.resume()
        }
    }
}
