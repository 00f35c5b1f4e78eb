import CasemateLinux
import CasemateModel
import Foundation
import Glibc

/// The files of a log: `audit-0000000001.jsonl` and so on, each named by the first record it holds. Only the newest is written to.
public enum AuditFiles {
    /// A file is begun anew beyond this many bytes.
    static let largest = 64 << 20

    static func name(first sequence: UInt64) -> String {
        let digits = String(sequence)
        return "audit-" + String(repeating: "0", count: max(0, 10 - digits.count)) + digits + ".jsonl"
    }

    /// With the number of the first record, in order.
    public static func all(in folder: String) -> [(path: String, first: UInt64)] {
        Files.names(in: folder).compactMap { name -> (path: String, first: UInt64)? in
            guard name.hasPrefix("audit-"), name.hasSuffix(".jsonl"), let first = UInt64(name.dropFirst(6).dropLast(6)) else { return nil }
            return ("\(folder)/\(name)", first)
        }.sorted { $0.first < $1.first }
    }

    /// Each line of a file, without its end; what follows the last line end is none.
    /// - Returns: how many bytes follow the last line end.
    @discardableResult
    public static func eachLine(of path: String, from offset: Int = 0, _ body: (ArraySlice<UInt8>) throws -> Bool) throws -> Int {
        let fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard fd >= 0 else { throw SystemError.last("opening the audit log") }
        defer { close(fd) }
        guard lseek(fd, off_t(offset), SEEK_SET) >= 0 else { throw SystemError.last("reading the audit log") }
        var rest: [UInt8] = []
        while true {
            let part = try Files.readPart(fd, most: 1 << 18, naming: "the audit log")
            if part.isEmpty { return rest.count }
            rest.append(contentsOf: part)
            var start = rest.startIndex
            while let end = rest[start...].firstIndex(of: 10) {
                guard try body(rest[start..<end]) else { return 0 }
                start = end + 1
            }
            rest.removeSubrange(..<start)
            // A line of ours is never as long; what is none is told as such, and not kept in memory.
            if rest.count > AuditChain.longestLine {
                guard try body(rest[...]) else { return 0 }
                rest = []
            }
        }
    }
}

/// The newest file of a log, open for adding to it.
final class AuditFile {
    let path: String
    private let fd: Int32
    private(set) var size: Int

    /// Opens or makes it, for this process alone.
    init(path: String) throws {
        let fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard fd >= 0 else { throw SystemError.last("opening the audit log \(path)") }
        guard flock(fd, LOCK_EX | LOCK_NB) == 0 else {
            close(fd)
            throw AuditFailure.inUse(path)
        }
        self.path = path
        self.fd = fd
        size = Int(lseek(fd, 0, SEEK_END))
    }

    deinit { close(fd) }

    /// All of `bytes` on disk, or none of them.
    func append(_ bytes: [UInt8]) throws {
        try checkPlace()
        do {
            try Files.writeAll(fd, bytes, naming: "the audit log")
            guard fdatasync(fd) == 0 else { throw SystemError.last("writing the audit log") }
            size += bytes.count
        } catch {
            // What stands there now was told to nobody: half a line would break the chain.
            ftruncate(fd, off_t(size))
            throw error
        }
    }

    func truncate(to length: Int) throws {
        guard ftruncate(fd, off_t(length)) == 0, fdatasync(fd) == 0 else { throw SystemError.last("mending the audit log") }
        size = length
    }

    /// An open file goes on taking bytes when it was removed, replaced or made read-only, and nobody would ever find them.
    private func checkPlace() throws {
        var here = stat()
        var there = stat()
        guard fstat(fd, &here) == 0, lstat(path, &there) == 0, here.st_ino == there.st_ino, here.st_dev == there.st_dev else {
            throw SystemError("finding the audit log", errno: ENOENT)
        }
        guard there.st_mode & 0o200 != 0, access(path, W_OK) == 0 else { throw SystemError("writing the audit log", errno: EACCES) }
        guard Int(here.st_size) == size else { throw AuditFailure.changed(path) }
    }
}

public enum AuditFailure: Error, CustomStringConvertible {
    case inUse(String), damaged(String), changed(String), unavailable

    public var description: String {
        switch self {
        case .inUse(let path): "\(path) is in use: another server runs on this data folder"
        case .damaged(let path):
            "the last line of the audit log \(path) is no record: look at it with casemate audit verify --folder; to begin a new log, move the folder away and keep it"
        case .changed(let path): "something else wrote to the audit log \(path)"
        case .unavailable: "the audit log can't be written"
        }
    }
}
