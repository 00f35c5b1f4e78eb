import CasemateLinux
import CasemateModel
import Dispatch
import Glibc
import Synchronization

/// What functions printed, per function, in segment files; kept for a time and a size.
///
/// One queue does all reading and writing in order: a read sees every line that was appended before it was asked for.
public final class LogStore: Sendable {
    public struct Limits: Sendable {
        public var keptFor: Duration
        public var bytesPerFunction: Int
        /// Lines beyond this many bytes waiting for the disk are dropped, and counted.
        public var backlogBytes: Int

        public init(keptFor: Duration = .seconds(7 * 86_400), bytesPerFunction: Int = 64 << 20, backlogBytes: Int = 64 << 20) {
            self.keptFor = keptFor
            self.bytesPerFunction = bytesPerFunction
            self.backlogBytes = backlogBytes
        }
    }

    private let folder: String
    private let limits: Limits
    private let queue = DispatchQueue(label: "casemate.logs")
    private let files: Mutex<[FunctionId: LogFiles]> = Mutex([:])
    private let backlog = Mutex((bytes: 0, dropped: [FunctionId: Int]()))

    public init(folder: String, limits: Limits = Limits()) throws {
        self.folder = folder
        self.limits = limits
        try Files.makeDirectories(folder, mode: 0o700)
    }

    /// Queues lines; never waits. What the disk can't keep up with is dropped and counted in a line of the platform's.
    public func append(_ lines: [LogLine], to function: FunctionId) {
        guard !lines.isEmpty else { return }
        let size = lines.reduce(0) { $0 + $1.message.count + LogRecord.headLength }
        let (accepted, droppedBefore) = backlog.withLock { backlog in
            guard backlog.bytes + size <= limits.backlogBytes else {
                backlog.dropped[function, default: 0] += lines.count
                return (false, 0)
            }
            backlog.bytes += size
            return (true, backlog.dropped.removeValue(forKey: function) ?? 0)
        }
        guard accepted else { return }
        queue.async {
            self.withFiles(of: function) { files in
                if droppedBefore > 0 {
                    files.append([.platform("\(droppedBefore) lines dropped: the disk could not keep up", at: lines[0].time)])
                }
                files.append(lines)
            }
            self.backlog.withLock { $0.bytes -= size }
        }
    }

    /// Lines after `cursor` (0: from the oldest), at most `limit`, and the cursor to go on from.
    public func read(_ function: FunctionId, after cursor: UInt64, call: CallId? = nil, limit: Int = 1000) async -> (
        lines: [LogLine], cursor: UInt64
    ) {
        await withCheckedContinuation { continuation in
            queue.async {
                let result = self.withFiles(of: function) { $0.read(after: cursor, call: call, limit: limit) }
                continuation.resume(returning: result)
            }
        }
    }

    /// The newest `count` lines, oldest first.
    public func tail(_ function: FunctionId, count: Int, call: CallId? = nil) async -> (lines: [LogLine], cursor: UInt64) {
        await withCheckedContinuation { continuation in
            queue.async {
                let result = self.withFiles(of: function) { $0.tail(count: count, call: call) }
                continuation.resume(returning: result)
            }
        }
    }

    /// Removes a function's lines.
    public func delete(_ function: FunctionId) async {
        await withCheckedContinuation { continuation in
            queue.async {
                _ = self.files.withLock { $0.removeValue(forKey: function) }
                Files.removeTree(self.folder + "/" + function.text)
                continuation.resume()
            }
        }
    }

    /// Removes segments past their time. Called now and then.
    /// - Parameter days: for which a function's lines are kept, where that is shorter than usual.
    public func expire(_ days: @Sendable @escaping (FunctionId) -> Int? = { _ in nil }) {
        queue.async {
            for name in Files.names(in: self.folder) {
                guard let function = FunctionId(name) else { continue }
                self.withFiles(of: function) { $0.expire(after: days(function).map { Int64($0) * 86_400 }) }
            }
        }
    }

    private func withFiles<R>(of function: FunctionId, _ body: (LogFiles) -> R) -> R {
        let found = files.withLock { files in
            if let known = files[function] { return known }
            let made = LogFiles(folder: folder + "/" + function.text, limits: limits)
            files[function] = made
            return made
        }
        return body(found)
    }
}
