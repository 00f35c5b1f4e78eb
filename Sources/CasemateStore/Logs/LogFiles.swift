import CasemateLinux
import CasemateModel
import Glibc

/// One function's segments: `<first sequence number>.log`. Used on the store's queue only.
final class LogFiles: Sendable {
    private let folder: String
    private let limits: LogStore.Limits
    private static let segmentBytes = 4 << 20

    init(folder: String, limits: LogStore.Limits) {
        self.folder = folder
        self.limits = limits
        cutTornEnd()
    }

    /// A record that a crash cut off would hide all that is written after it.
    private func cutTornEnd() {
        guard let last = segments.last, let bytes = try? Files.read(path(last), limit: Self.segmentBytes * 4) else { return }
        var end = 0
        while let (_, next) = LogRecord.parse(bytes, at: end) { end = next }
        if end < bytes.count { truncate(path(last), end) }
    }

    private var segments: [UInt64] { Files.names(in: folder).compactMap { UInt64($0.prefix { $0 != "." }) }.sorted() }

    private func path(_ first: UInt64) -> String {
        let digits = String(first)
        return "\(folder)/\(String(repeating: "0", count: 20 - digits.utf8.count))\(digits).log"
    }

    private func records(_ segment: UInt64) -> [LogRecord] {
        guard let bytes = try? Files.read(path(segment), limit: Self.segmentBytes * 4) else { return [] }
        var found: [LogRecord] = []
        var offset = 0
        while let (record, next) = LogRecord.parse(bytes, at: offset) {
            found.append(record)
            offset = next
        }
        return found
    }

    func append(_ lines: [LogLine]) {
        var all = segments
        do {
            if all.isEmpty {
                try Files.makeDirectories(folder, mode: 0o700)
                all = [1]
            }
            var current = all[all.count - 1]
            var found = stat()
            var size = stat(path(current), &found) == 0 ? Int(found.st_size) : 0
            if let known = remembered?.size, known != size {
                // Not as the last write left it: something stopped half way.
                cutTornEnd()
                size = stat(path(current), &found) == 0 ? Int(found.st_size) : 0
            }
            var next = try sequenceAfterLast(current, size: size)
            var out: [UInt8] = []
            for line in lines {
                if size + out.count > Self.segmentBytes {
                    try write(out, to: current)
                    out = []
                    size = 0
                    current = next
                    all.append(current)
                }
                LogRecord(sequence: next, line: line).append(to: &out)
                next += 1
            }
            try write(out, to: current)
            remember(next, size: stat(path(current), &found) == 0 ? Int(found.st_size) : 0)
            shrink(all)
        } catch {
            // A full disk costs log lines, never a call. The operator sees it in the disk's own metrics.
        }
    }

    private func write(_ bytes: [UInt8], to segment: UInt64) throws {
        guard !bytes.isEmpty else { return }
        let fd = open(path(segment), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard fd >= 0 else { throw SystemError.last("opening a log segment") }
        defer { close(fd) }
        var before = stat()
        guard fstat(fd, &before) == 0 else { throw SystemError.last("looking at a log segment") }
        do {
            try Files.writeAll(fd, bytes, naming: "a log segment")
        } catch {
            // Half a record would hide all that is written after it.
            ftruncate(fd, before.st_size)
            throw error
        }
    }

    /// The next number, from a file of one line: reading a segment to its end on every append would be quadratic.
    private func sequenceAfterLast(_ segment: UInt64, size: Int) throws -> UInt64 {
        if let number = remembered?.next { return number }
        return (records(segment).last?.sequence).map { $0 + 1 } ?? segment
    }

    private func remember(_ next: UInt64, size: Int) { try? Files.write("\(next) \(size)", to: folder + "/next") }

    /// The next line's number, and the newest segment's size after the last write.
    private var remembered: (next: UInt64, size: Int)? {
        guard let parts = (try? Files.text(folder + "/next"))?.split(separator: " "), parts.count == 2, let next = UInt64(parts[0]),
            let size = Int(parts[1])
        else { return nil }
        return (next, size)
    }

    private func shrink(_ all: [UInt64]) {
        let most = max(2, limits.bytesPerFunction / Self.segmentBytes)
        for segment in all.dropLast(most) { unlink(path(segment)) }
    }

    /// - Parameter seconds: for which lines are kept, where that is shorter than usual.
    func expire(after seconds: Int64? = nil) {
        let most = min(limits.keptFor.components.seconds, seconds ?? .max)
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        for segment in segments {
            var found = stat()
            guard stat(path(segment), &found) == 0 else { continue }
            if now.tv_sec - found.st_mtim.tv_sec > most { unlink(path(segment)) }
        }
    }

    func read(after cursor: UInt64, call: CallId?, limit: Int) -> (lines: [LogLine], cursor: UInt64) {
        let all = segments
        var lines: [LogLine] = []
        var last = cursor
        for (index, segment) in all.enumerated() {
            if index + 1 < all.count, all[index + 1] <= cursor + 1 { continue }
            for record in records(segment) where record.sequence > cursor {
                last = record.sequence
                if call == nil || record.line.call == call { lines.append(record.line) }
                if lines.count == limit { return (lines, last) }
            }
        }
        return (lines, last)
    }

    func tail(count: Int, call: CallId?) -> (lines: [LogLine], cursor: UInt64) {
        var lines: [LogLine] = []
        var last: UInt64 = 0
        for segment in segments.reversed() {
            let found = records(segment)
            last = max(last, found.last?.sequence ?? 0)
            lines = found.map(\.line).filter { call == nil || $0.call == call } + lines
            if lines.count >= count { break }
        }
        return (Array(lines.suffix(count)), last)
    }
}
