import CasemateLinux
import CasemateModel
import Foundation
import Glibc
import Synchronization

/// The one thread that writes the log: takes all that waits, writes it with one `fdatasync`, and tells everyone.
final class AuditWriter: @unchecked Sendable {
    // SAFETY: `waiting`, `stops` and `listener` are touched under `condition` alone, `file` and `size` by the thread alone.
    private struct Entry {
        var event: AuditEvent
        var time: Timestamp
        /// Shared by the events of one act; nil for what is only noted.
        var act: Act?
    }

    private final class Act {
        let tell: (Bool) -> Void
        init(_ tell: @escaping (Bool) -> Void) { self.tell = tell }
    }

    private struct Tail {
        var sequence: UInt64 = 0
        var hash = AuditChain.beginning
        var isWritable = true
        var written = 0
    }

    /// Noted events that wait while the log can't be written; what comes beyond is counted.
    private static let mostNoted = 10_000
    private static let mostAtOnce = 4096

    private let folder: String
    private let condition = NSCondition()
    private var waiting: [Entry] = []
    private var noted = 0
    private var lost = 0
    private var stops = false
    private var hasEnded = false
    private var listener: (@Sendable ([AuditRecord]) -> Void)?
    private var failed: (@Sendable (String?) -> Void)?
    private var file: AuditFile?
    private let tail: Mutex<Tail>

    init(folder: String) throws {
        self.folder = folder
        let (file, sequence, hash) = try Self.open(folder)
        self.file = file
        tail = Mutex(Tail(sequence: sequence, hash: hash))
    }

    /// The newest file, and the last record. A line that a crash broke off was told to nobody: it goes.
    private static func open(_ folder: String) throws -> (AuditFile, UInt64, String) {
        let all = AuditFiles.all(in: folder)
        guard let newest = all.last else { return (try AuditFile(path: "\(folder)/\(AuditFiles.name(first: 1))"), 0, AuditChain.beginning) }
        let file = try AuditFile(path: newest.path)
        var last: [UInt8]?
        var length = 0
        try AuditFiles.eachLine(of: newest.path, from: max(0, file.size - 2 * AuditChain.longestLine)) { line in
            last = Array(line)
            return true
        }
        let broken = try AuditFiles.eachLine(of: newest.path) { line in
            length += line.count + 1
            return true
        }
        if broken > 0 { try file.truncate(to: length) }
        guard let last else {
            // A file that was begun and got no record.
            if all.count == 1, length == 0 { return (file, 0, AuditChain.beginning) }
            guard length == 0, let before = all.dropLast().last else { throw AuditFailure.damaged(newest.path) }
            var end: [UInt8]?
            try AuditFiles.eachLine(of: before.path) {
                end = Array($0); return true
            }
            guard let end, let found = AuditChain.parse(end) else { throw AuditFailure.damaged(before.path) }
            return (file, found.record.sequence, found.hash)
        }
        guard let found = AuditChain.parse(last), found.record.sequence < 1 << 60 else { throw AuditFailure.damaged(newest.path) }
        return (file, found.record.sequence, found.hash)
    }

    var head: (sequence: UInt64, hash: String) { tail.withLock { ($0.sequence, $0.hash) } }
    var isWritable: Bool { tail.withLock { $0.isWritable } }
    var written: Int { tail.withLock { $0.written } }

    func onWritten(_ body: @Sendable @escaping ([AuditRecord]) -> Void) {
        condition.lock()
        listener = body
        condition.unlock()
    }

    func onFailure(_ body: @Sendable @escaping (String?) -> Void) {
        condition.lock()
        failed = body
        condition.unlock()
    }

    func start() {
        let thread = Thread { [self] in run() }
        thread.name = "audit"
        thread.start()
    }

    /// All of `events` or none; `tell` hears which, on the writer's thread.
    func take(_ events: [AuditEvent], _ tell: @Sendable @escaping (Bool) -> Void) {
        let act = Act(tell)
        let now = Timestamp.now
        condition.lock()
        let isOpen = !stops
        if isOpen { waiting += events.map { Entry(event: $0, time: now, act: act) } }
        condition.signal()
        condition.unlock()
        if !isOpen { tell(false) }
    }

    func note(_ event: AuditEvent) {
        condition.lock()
        if noted < Self.mostNoted, !stops {
            noted += 1
            waiting.append(Entry(event: event, time: .now, act: nil))
            condition.signal()
        } else {
            lost += 1
        }
        condition.unlock()
    }

    func close() {
        condition.lock()
        stops = true
        condition.signal()
        while !hasEnded { condition.wait() }
        condition.unlock()
    }

    // MARK: The thread

    private func run() {
        while true {
            condition.lock()
            while waiting.isEmpty, !stops { condition.wait() }
            // An act is not torn in two.
            var count = min(waiting.count, Self.mostAtOnce)
            while count < waiting.count, let act = waiting[count].act, act === waiting[count - 1].act { count += 1 }
            let batch = Array(waiting.prefix(count))
            waiting.removeFirst(count)
            noted -= batch.count { $0.act == nil }
            let (isLast, lost, listener) = (stops && waiting.isEmpty, self.lost, self.listener)
            self.lost = 0
            condition.unlock()

            let isWritten = batch.isEmpty || write(batch, lost: lost, listener)
            if isLast {
                // Whoever opens the log next finds it free.
                file = nil
                condition.lock()
                hasEnded = true
                condition.broadcast()
                condition.unlock()
                return
            }
            if !isWritten { Thread.sleep(forTimeInterval: 0.1) }
        }
    }

    private func write(_ batch: [Entry], lost: Int, _ listener: (@Sendable ([AuditRecord]) -> Void)?) -> Bool {
        var entries = batch
        if lost > 0 { entries.append(Entry(event: AuditEvent(.auditSuppressed, ["number": "\(lost)"]), time: .now, act: nil)) }
        var (sequence, hash) = head
        var bytes: [UInt8] = []
        var records: [AuditRecord] = []
        do {
            for entry in entries {
                let record = AuditRecord(entry.event, sequence: sequence + 1, previous: hash, time: entry.time)
                let line = try AuditChain.line(record)
                bytes += line.bytes + [10]
                (sequence, hash) = (record.sequence, line.hash)
                records.append(record)
            }
            try append(bytes, first: records[0].sequence)
        } catch {
            let isFirst = tail.withLock { tail in
                defer { tail.isWritable = false }
                return tail.isWritable
            }
            if isFirst { tellFailure("\(error)") }
            // Whoever waits must not go on; what was only noted is tried again.
            tell(batch, false)
            let again = batch.filter { $0.act == nil }
            condition.lock()
            waiting.insert(contentsOf: again, at: 0)
            noted += again.count
            self.lost += lost
            condition.unlock()
            return false
        }
        let hasRecovered = tail.withLock { tail in
            defer { (tail.sequence, tail.hash, tail.isWritable) = (sequence, hash, true) }
            tail.written += records.count
            return !tail.isWritable
        }
        if hasRecovered { tellFailure(nil) }
        listener?(records)
        tell(batch, true)
        return true
    }

    private func tellFailure(_ why: String?) {
        condition.lock()
        let failed = self.failed
        condition.unlock()
        failed?(why)
    }

    private func append(_ bytes: [UInt8], first sequence: UInt64) throws {
        if let size = file?.size, size > 0, size + bytes.count > AuditFiles.largest { file = nil }
        if file == nil {
            let path = "\(folder)/\(AuditFiles.name(first: sequence))"
            file = try AuditFile(path: path)
        }
        try file?.append(bytes)
    }

    private func tell(_ batch: [Entry], _ isWritten: Bool) {
        var last: Act?
        for entry in batch {
            guard let act = entry.act, act !== last else { continue }
            last = act
            act.tell(isWritten)
        }
    }
}
