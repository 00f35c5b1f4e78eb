import CArchive
import CLinux
import CasemateLinux
import Crypto
import Foundation
import Glibc

/// Reads a backup: what it says of itself first, and its files only once that is known to be authentic.
struct BackupReader {
    let file: String
    let list: BackupList
    /// SHA-256 of the list.
    let digest: [UInt8]
    /// What authenticates it.
    let code: [UInt8]
    /// The document with the server's sealed keys.
    let keys: [UInt8]

    private static let longestList = 256 << 20
    private static let keysPath = "server/keys.json"

    /// Looks through the archive and writes nothing.
    /// - Throws: `CommandFailure` for what is no backup of ours.
    init(_ file: String) throws {
        var list: BackupList?
        var digest: [UInt8] = []
        var code: [UInt8]?
        var keys: [UInt8]?
        try Self.eachEntry(of: file) { archive, path in
            guard list != nil else {
                guard path == BackupList.name else { throw Self.damaged(file) }
                let bytes = try Self.read(archive, limit: Self.longestList, file)
                guard let found = try? JSONDecoder().decode(BackupList.self, from: Data(bytes)), found.format == BackupList.format else {
                    throw CommandFailure("\(file) is no backup that this release can read", code: 2)
                }
                digest = Array(SHA256.hash(data: bytes))
                list = found
                return
            }
            switch path {
            case BackupList.codeName: code = Data(base64Encoded: Data(try Self.read(archive, limit: 1024, file))).map { Array($0) }
            case Self.keysPath: keys = try Self.read(archive, limit: 1 << 20, file)
            default: break
            }
        }
        guard let list, let code, let keys, Set(list.entries.map(\.path)).count == list.entries.count,
            list.entries.allSatisfy({ BackupList.isPath($0.path) })
        else { throw Self.damaged(file) }
        self.file = file
        self.list = list
        self.digest = digest
        self.code = code
        self.keys = keys
    }

    /// Unpacks all files into `folder`, each as the list has it. To be asked only when the list is authentic.
    /// - Throws: `CommandFailure` for whatever is not as the list has it.
    func unpack(into folder: String) throws {
        let root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard root >= 0 else { throw SystemError.last("opening \(folder)") }
        defer { close(root) }
        var left = Dictionary(uniqueKeysWithValues: list.entries.map { ($0.path, $0) })
        var isFirst = true
        try Self.eachEntry(of: file) { archive, path in
            if isFirst {
                // It may have been another archive a moment ago.
                guard path == BackupList.name, Array(SHA256.hash(data: try Self.read(archive, limit: Self.longestList, file))) == digest
                else {
                    throw Self.damaged(file)
                }
                isFirst = false
                return
            }
            if path == BackupList.codeName { return }
            guard let expected = left.removeValue(forKey: path) else { throw Self.damaged(file) }
            try extract(archive, expected, beneath: root)
        }
        guard left.isEmpty else { throw Self.damaged(file) }
        // Only now, so that files could be put into them.
        for entry in list.entries.reversed() where entry.size == nil && entry.target == nil {
            chmod("\(folder)/\(entry.path)", mode_t(entry.mode, radix: 8) ?? 0o700)
        }
    }

    private func extract(_ archive: OpaquePointer, _ entry: BackupList.Entry, beneath root: Int32) throws {
        let cut = entry.path.lastIndex(of: "/") ?? entry.path.startIndex
        let name = String(entry.path[entry.path.index(after: cut)...])
        let parent = try Self.folder(String(entry.path[..<cut]), beneath: root)
        defer { close(parent) }
        if let target = entry.target {
            guard BackupList.isInward(target, at: entry.path), symlinkat(target, parent, name) == 0 else { throw Self.damaged(file) }
            return
        }
        guard let size = entry.size else {
            guard mkdirat(parent, name, 0o755) == 0 || errno == EEXIST else { throw Self.damaged(file) }
            return
        }
        let fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard fd >= 0 else { throw Self.damaged(file) }
        defer { close(fd) }
        var hash = SHA256()
        var written = 0
        try Self.eachPart(archive, file) { part in
            written += part.count
            guard written <= size else { throw Self.damaged(file) }
            hash.update(data: part)
            try Files.writeAll(fd, part, naming: entry.path)
        }
        let found = hash.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        let mode = (mode_t(entry.mode, radix: 8) ?? 0o600) & 0o777
        guard written == size, found == entry.sha256, fchmod(fd, mode) == 0 else { throw Self.damaged(file) }
    }

    /// Made where it is missing; no part of its path is a link.
    private static func folder(_ path: String, beneath root: Int32) throws -> Int32 {
        var current = dup(root)
        for part in path.split(separator: "/") {
            _ = mkdirat(current, String(part), 0o755)
            let next = cl_open_beneath(current, String(part), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
            close(current)
            guard next >= 0 else { throw CommandFailure("a folder of the backup can't be made") }
            current = next
        }
        return current
    }

    private static func eachEntry(of file: String, _ body: (OpaquePointer, String) throws -> Void) throws {
        guard let archive = archive_read_new() else { throw damaged(file) }
        defer { archive_read_free(archive) }
        archive_read_support_format_tar(archive)
        archive_read_support_filter_gzip(archive)
        guard archive_read_open_filename(archive, file, 1 << 16) == ARCHIVE_OK else {
            throw CommandFailure("\(file) is not there, or no backup of ours", code: 2)
        }
        var entry: OpaquePointer?
        while true {
            let result = archive_read_next_header(archive, &entry)
            if result == ARCHIVE_EOF { return }
            guard result == ARCHIVE_OK, let entry, let text = archive_entry_pathname(entry) else { throw damaged(file) }
            // A folder's name ends with a slash in an archive.
            let path = String(cString: text)
            try body(archive, path.hasSuffix("/") ? String(path.dropLast()) : path)
        }
    }

    private static func read(_ archive: OpaquePointer, limit: Int, _ file: String) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try eachPart(archive, file) { part in
            bytes += part
            guard bytes.count <= limit else { throw damaged(file) }
        }
        return bytes
    }

    private static func eachPart(_ archive: OpaquePointer, _ file: String, _ body: ([UInt8]) throws -> Void) throws {
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        while true {
            let got = buffer.withUnsafeMutableBytes { archive_read_data(archive, $0.baseAddress, $0.count) }
            guard got >= 0 else { throw damaged(file) }
            if got == 0 { return }
            try body(Array(buffer[..<got]))
        }
    }

    private static func damaged(_ file: String) -> CommandFailure {
        CommandFailure("\(file) is damaged, or was changed since it was made; nothing was restored")
    }
}
