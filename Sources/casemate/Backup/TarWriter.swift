import CArchive
import CasemateLinux
import Foundation
import Glibc

/// A compressed tar archive (POSIX pax), written as it goes.
final class TarWriter {
    private let archive: OpaquePointer
    private let fd: Int32

    init(path: String) throws {
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard fd >= 0 else { throw SystemError.last("making \(path)") }
        guard let archive = archive_write_new() else { throw CommandFailure("the backup could not be written") }
        self.archive = archive
        archive_write_set_format_pax_restricted(archive)
        archive_write_add_filter_gzip(archive)
        guard archive_write_open_fd(archive, fd) == ARCHIVE_OK else { throw CommandFailure("the backup could not be written") }
    }

    deinit {
        archive_write_free(archive)
        close(fd)
    }

    func add(_ name: String, mode: mode_t, _ bytes: Data) throws {
        try header(name, type: UInt32(Glibc.S_IFREG), mode: mode, size: bytes.count)
        try write(Array(bytes))
    }

    func add(_ name: String, mode: mode_t, size: Int, from path: String) throws {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { throw SystemError.last("opening \(path)") }
        defer { close(file) }
        try header(name, type: UInt32(Glibc.S_IFREG), mode: mode, size: size)
        var left = size
        while left > 0 {
            let part = try Files.readPart(file, most: min(left, 1 << 20), naming: path)
            guard !part.isEmpty else { throw CommandFailure("\(path) became shorter while it was copied; try again") }
            try write(part)
            left -= part.count
        }
    }

    func addFolder(_ name: String, mode: mode_t) throws { try header(name, type: UInt32(Glibc.S_IFDIR), mode: mode, size: 0) }

    func addLink(_ name: String, target: String) throws {
        try header(name, type: UInt32(Glibc.S_IFLNK), mode: 0o777, size: 0, target: target)
    }

    /// - Returns: the archive's size in bytes, once it is on disk.
    func finish() throws -> Int {
        guard archive_write_close(archive) == ARCHIVE_OK, fsync(fd) == 0 else {
            throw CommandFailure("the backup could not be written: is the disk full?")
        }
        return Int(lseek(fd, 0, SEEK_END))
    }

    private func header(_ name: String, type: UInt32, mode: mode_t, size: Int, target: String? = nil) throws {
        guard let entry = archive_entry_new() else { throw CommandFailure("the backup could not be written") }
        defer { archive_entry_free(entry) }
        archive_entry_set_pathname(entry, name)
        archive_entry_set_filetype(entry, type)
        archive_entry_set_perm(entry, mode)
        archive_entry_set_size(entry, Int64(size))
        if let target { archive_entry_set_symlink(entry, target) }
        guard archive_write_header(archive, entry) == ARCHIVE_OK else { throw CommandFailure("\(name) could not be packed") }
    }

    private func write(_ bytes: [UInt8]) throws {
        let wrote = bytes.withUnsafeBytes { archive_write_data(archive, $0.baseAddress, $0.count) }
        guard wrote == bytes.count else { throw CommandFailure("the backup could not be written: is the disk full?") }
    }
}
