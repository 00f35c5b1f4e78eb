import CasemateLinux
import Glibc

/// Key material in files of mode 0600: made in one step, refused when others could read it.
enum KeyFile {
    static func create(_ path: String, bytes: [UInt8]) throws {
        let temporary = path + ".new"
        unlink(temporary)
        let fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard fd >= 0 else { throw SystemError.last("making \(path)") }
        defer { close(fd) }
        try Files.writeAll(fd, bytes, naming: path)
        guard fsync(fd) == 0, rename(temporary, path) == 0 else { throw SystemError.last("making \(path)") }
        try syncFolder(of: path)
    }

    /// Puts `bytes` in the place of what is there, at once; that is overwritten afterwards. Whether the medium still has it is the medium's
    /// affair: on flash memory and copying file systems overwriting is a wish.
    static func replace(_ path: String, bytes: [UInt8]) throws {
        let old = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
        defer { if old >= 0 { close(old) } }
        try create(path, bytes: bytes)
        if old >= 0 { overwrite(old) }
    }

    static func erase(_ path: String) throws {
        let old = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
        guard old >= 0 else { throw SystemError.last("opening \(path)") }
        defer { close(old) }
        guard unlink(path) == 0 else { throw SystemError.last("removing \(path)") }
        overwrite(old)
        try syncFolder(of: path)
    }

    static func read(_ path: String) throws -> [UInt8] {
        var found = stat()
        guard lstat(path, &found) == 0 else { throw SystemError.last("looking at \(path)") }
        guard found.st_mode & 0o077 == 0, found.st_mode & S_IFMT == S_IFREG else { throw KeyFileError.readableByOthers(path) }
        return try Files.read(path, limit: 4096)
    }

    private static func overwrite(_ fd: Int32) {
        var found = stat()
        guard fstat(fd, &found) == 0 else { return }
        try? Files.writeAll(fd, [UInt8](repeating: 0, count: Int(found.st_size)), naming: "an old key")
        fsync(fd)
    }

    /// A new name is on disk when its folder is.
    private static func syncFolder(of path: String) throws {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let fd = open(folder.isEmpty ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard fd >= 0 else { throw SystemError.last("opening the folder of \(path)") }
        defer { close(fd) }
        guard fsync(fd) == 0 else { throw SystemError.last("writing the folder of \(path)") }
    }
}

public enum KeyFileError: Error, CustomStringConvertible {
    case wrongSize(String), readableByOthers(String)

    public var description: String {
        switch self {
        case .wrongSize(let path): "\(path) does not hold a key of ours"
        case .readableByOthers(let path): "\(path) can be read by others; make it an ordinary file of mode 0600"
        }
    }
}
