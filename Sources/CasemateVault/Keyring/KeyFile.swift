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
    }

    static func read(_ path: String) throws -> [UInt8] {
        var found = stat()
        guard lstat(path, &found) == 0 else { throw SystemError.last("looking at \(path)") }
        guard found.st_mode & 0o077 == 0, found.st_mode & S_IFMT == S_IFREG else { throw KeyFileError.readableByOthers(path) }
        return try Files.read(path, limit: 4096)
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
