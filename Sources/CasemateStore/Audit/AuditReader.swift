import CasemateLinux
import CasemateModel
import Foundation
import Glibc

/// Reads a log that may be written to meanwhile.
public struct AuditReader: Sendable {
    private let folder: String

    public init(folder: String) { self.folder = folder }

    /// The lines after the record with this number, as they stand there, until `body` answers false.
    public func eachLine(after sequence: UInt64, _ body: (ArraySlice<UInt8>, AuditRecord) throws -> Bool) throws {
        let files = AuditFiles.all(in: folder)
        let first = files.lastIndex { $0.first <= sequence + 1 } ?? 0
        for file in files.dropFirst(first) {
            var goesOn = true
            let start = try Self.offset(of: sequence, in: file.path)
            try AuditFiles.eachLine(of: file.path, from: start) { line in
                guard let found = AuditChain.parse(line), found.record.sequence > sequence else { return true }
                goesOn = try body(line, found.record)
                return goesOn
            }
            guard goesOn else { return }
        }
    }

    /// The log as it lies on disk, whatever it says: whole lines from this byte on, counted over all files; none at the end.
    public func bytes(from position: Int, most: Int = 1 << 20) throws -> [UInt8] {
        var rest = position
        for file in AuditFiles.all(in: folder) {
            let fd = open(file.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
            guard fd >= 0 else { throw SystemError.last("opening the audit log") }
            defer { close(fd) }
            let size = Int(lseek(fd, 0, SEEK_END))
            guard rest < size else {
                rest -= size
                continue
            }
            lseek(fd, off_t(rest), SEEK_SET)
            var bytes: [UInt8] = []
            while bytes.count < most {
                let part = try Files.readPart(fd, most: most - bytes.count, naming: "the audit log")
                if part.isEmpty { break }
                bytes += part
            }
            // A line that is being written now, or one that is none of ours.
            guard let end = bytes.lastIndex(of: 10) else { return bytes.count < most ? [] : bytes }
            return Array(bytes[...end])
        }
        return []
    }

    /// Up to `limit` records that `isWanted`, and the number of the last one looked at.
    /// - Parameters:
    ///   - head: the last that counts.
    ///   - most: how many are looked at.
    public func read(
        after sequence: UInt64, upTo head: UInt64 = .max, limit: Int, most: Int = 50_000, where isWanted: (AuditRecord) -> Bool
    ) throws -> (records: [AuditRecord], last: UInt64) {
        var found: [AuditRecord] = []
        var last = sequence
        var seen = 0
        try eachLine(after: sequence) { _, record in
            guard record.sequence <= head else { return false }
            last = record.sequence
            seen += 1
            if isWanted(record) { found.append(record) }
            return found.count < limit && seen < most
        }
        return (found, last)
    }

    /// The newest `count` records that `isWanted`, of the newest 100,000.
    public func tail(_ count: Int, head: UInt64, where isWanted: (AuditRecord) -> Bool) throws -> [AuditRecord] {
        var found: [AuditRecord] = []
        var end = head
        var window: UInt64 = UInt64(max(count, 64))
        let bottom = head > 100_000 ? head - 100_000 : 0
        while found.count < count, end > bottom {
            let start = max(bottom, end > window ? end - window : 0)
            var part: [AuditRecord] = []
            try eachLine(after: start) { _, record in
                if record.sequence <= end, isWanted(record) { part.append(record) }
                return record.sequence < end
            }
            found = part + found
            end = start
            window *= 4
        }
        return Array(found.suffix(count))
    }

    /// A place in the file, at the beginning of a line, before the record that follows `sequence`, and not far from it.
    private static func offset(of sequence: UInt64, in path: String) throws -> Int {
        var found = stat()
        guard stat(path, &found) == 0 else { return 0 }
        var low = 0
        var high = Int(found.st_size)
        // Down to where reading on is as quick.
        while high - low > 1 << 17 {
            let middle = low + (high - low) / 2
            var skipped = 0
            var number: UInt64?
            var isFirst = true
            try AuditFiles.eachLine(of: path, from: middle) { line in
                if isFirst {
                    isFirst = false
                    skipped = line.count + 1
                    return true
                }
                number = AuditChain.parse(line)?.record.sequence
                return number == nil
            }
            if let number, number <= sequence { low = middle + skipped } else { high = middle }
        }
        return low
    }
}
