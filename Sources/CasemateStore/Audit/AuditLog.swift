import CasemateLinux
import CasemateModel
import Foundation
import Glibc
import Synchronization

/// The log of every security-relevant act: only ever added to, numbered without a gap, each record bound to all before it.
///
/// One thread writes, everything that came meanwhile at once. Who must not go on unrecorded waits until the record is on disk (`append`);
/// what was only observed is noted (`note`), limited in number, and nobody waits for it.
public final class AuditLog: Sendable {
    public let folder: String
    private let writer: AuditWriter
    private let limits = AuditLimitsBox()
    private let counting: Mutex<Task<Void, Never>?> = Mutex(nil)

    /// Opens the log in `folder`, or begins one.
    /// - Parameter publicKey: of the checkpoints: the first record of a new log names it.
    /// - Throws: `AuditFailure.damaged` where the log's end can't be read, `.inUse` while another server writes.
    public init(folder: String, publicKey: [UInt8]) throws {
        self.folder = folder
        try Files.makeDirectories(folder, mode: 0o700)
        writer = try AuditWriter(folder: folder)
        writer.start()
        count()
        if writer.head.sequence == 0 {
            let fingerprint = AuditCheckpoint.fingerprint(of: publicKey)
            try append([AuditEvent(.auditBegun, ["chain": CallId().text, "key": fingerprint])])
        }
    }

    /// Of the last record on disk.
    public var head: (sequence: UInt64, hash: String) { writer.head }
    public var isWritable: Bool { writer.isWritable }
    /// Records that were written since the start.
    public var written: Int { writer.written }

    /// Told of every record once it is on disk, on the writer's thread.
    public func onWritten(_ body: @Sendable @escaping ([AuditRecord]) -> Void) { writer.onWritten(body) }

    /// Told why the log can't be written, when it could before; nil when it can again.
    public func onFailure(_ body: @Sendable @escaping (String?) -> Void) { writer.onFailure(body) }

    /// Returns when the events are on disk. Blocks: not for an event loop.
    /// - Throws: `AuditFailure.unavailable` when they can't be written; then none is.
    public func append(_ events: [AuditEvent]) throws(AuditFailure) {
        guard !events.isEmpty else { return }
        let done = DispatchSemaphore(value: 0)
        let isWritten = Mutex(false)
        writer.take(events) { written in
            isWritten.withLock { $0 = written }
            done.signal()
        }
        done.wait()
        guard isWritten.withLock({ $0 }) else { throw .unavailable }
    }

    /// As above, for tasks.
    public func append(_ event: AuditEvent) async throws(AuditFailure) {
        let isWritten = await withCheckedContinuation { continuation in writer.take([event]) { continuation.resume(returning: $0) } }
        guard isWritten else { throw .unavailable }
    }

    /// As above, for event loops: `then` is called on the writer's thread.
    public func append(_ event: AuditEvent, then: @Sendable @escaping (Bool) -> Void) { writer.take([event], then) }

    /// Adds an event for which nobody waits, each of them.
    public func add(_ event: AuditEvent) { writer.note(event) }

    /// Notes what was observed. Of many alike some are kept, and the number of the others.
    public func note(_ event: AuditEvent) {
        if limits.withLock({ $0.take(event, at: Monotonic.now) }) { writer.note(event) }
    }

    /// Writes what waits, and ends the thread.
    public func close() {
        counting.withLock { $0 }?.cancel()
        for event in limits.withLock({ $0.counted(at: nil) }) { writer.note(event) }
        writer.close()
    }

    /// Once a second: how many were left out.
    private func count() {
        let task = Task.detached { [limits, writer] in
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(1))
                for event in limits.withLock({ $0.counted(at: Monotonic.now) }) { writer.note(event) }
            }
        }
        counting.withLock { $0 = task }
    }
}
