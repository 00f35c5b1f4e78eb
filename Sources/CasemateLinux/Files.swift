import CLinux
import Glibc

/// The few file operations that a process without Foundation needs.
public enum Files {
    /// The whole file; at most `limit` bytes.
    public static func read(_ path: String, limit: Int = 1 << 20) throws(SystemError) -> [UInt8] {
        let fd = open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { throw .last("opening \(path)") }
        defer { close(fd) }
        return try read(fd, limit: limit, naming: path)
    }

    /// In bytes.
    public static func size(of file: Descriptor) throws(SystemError) -> Int {
        defer { file.staysOpen() }
        var found = stat()
        guard fstat(file.raw, &found) == 0 else { throw .last("looking at a file") }
        return Int(found.st_size)
    }

    /// The next bytes, up to `most`; none at the end.
    public static func readPart(_ fd: Int32, most: Int, naming path: String) throws(SystemError) -> [UInt8] {
        var chunk = [UInt8](repeating: 0, count: most)
        while true {
            let got = Glibc.read(fd, &chunk, chunk.count)
            if got >= 0 { return Array(chunk[..<got]) }
            guard errno == EINTR else { throw .last("reading \(path)") }
        }
    }

    public static func read(_ fd: Int32, limit: Int, naming path: String) throws(SystemError) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {
            let got = Glibc.read(fd, &chunk, chunk.count)
            if got < 0 {
                if errno == EINTR { continue }
                throw .last("reading \(path)")
            }
            if got == 0 { return bytes }
            guard bytes.count + got <= limit else { throw SystemError("reading \(path)", errno: EFBIG) }
            bytes.append(contentsOf: chunk[..<got])
        }
    }

    public static func text(_ path: String, limit: Int = 1 << 20) throws(SystemError) -> String {
        String(decoding: try read(path, limit: limit), as: UTF8.self)
    }

    /// Writes in one go to an existing or a new file.
    public static func write(_ text: String, to path: String, mode: mode_t = 0o600, truncating: Bool = true) throws(SystemError) {
        let fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (truncating ? O_TRUNC : 0), mode)
        guard fd >= 0 else { throw .last("opening \(path)") }
        defer { close(fd) }
        try writeAll(fd, Array(text.utf8), naming: path)
    }

    /// Writes to an existing file that is no ordinary one (a cgroup's).
    public static func set(_ path: String, to text: String) throws(SystemError) {
        let fd = open(path, O_WRONLY | O_CLOEXEC)
        guard fd >= 0 else { throw .last("opening \(path)") }
        defer { close(fd) }
        try writeAll(fd, Array(text.utf8), naming: path)
    }

    public static func writeAll(_ fd: Int32, _ bytes: [UInt8], naming path: String) throws(SystemError) {
        var offset = 0
        while offset < bytes.count {
            let wrote = bytes.withUnsafeBytes { Glibc.write(fd, $0.baseAddress! + offset, bytes.count - offset) }
            if wrote < 0 {
                if errno == EINTR { continue }
                throw .last("writing \(path)")
            }
            offset += wrote
        }
    }

    /// Puts `path` into the place of `target`, at once.
    public static func rename(_ path: String, to target: String) throws(SystemError) {
        guard Glibc.rename(path, target) == 0 else { throw .last("renaming \(path)") }
    }

    /// Makes the folder and those above it; the mode holds for those made, whatever the umask.
    public static func makeDirectories(_ path: String, mode: mode_t) throws(SystemError) {
        if exists(path) { return }
        if let cut = path.lastIndex(of: "/"), cut != path.startIndex { try makeDirectories(String(path[..<cut]), mode: mode) }
        guard mkdir(path, mode) == 0 || errno == EEXIST else { throw .last("making \(path)") }
        guard chmod(path, mode) == 0 else { throw .last("setting the mode of \(path)") }
    }

    public static func exists(_ path: String) -> Bool {
        var found = stat()
        return lstat(path, &found) == 0
    }

    /// Names in a folder, sorted as bytes; empty when there is none.
    public static func names(in path: String) -> [String] {
        let fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        guard fd >= 0 else { return [] }
        return names(consuming: fd)
    }

    /// Names in an open folder, whose descriptor is closed.
    public static func names(consuming fd: Int32) -> [String] {
        guard let directory = cl_opendir(fd) else {
            close(fd)
            return []
        }
        defer { cl_closedir(directory) }
        var names: [String] = []
        while let name = cl_readdir(directory) { names.append(String(cString: name)) }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Removes a file or a folder with all in it, following no link. What cannot be removed stays.
    public static func removeTree(_ path: String) {
        if unlink(path) == 0 || errno == ENOENT { return }
        let fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        guard fd >= 0 else { return }
        for name in names(consuming: fd) { removeTree(path + "/" + name) }
        rmdir(path)
    }
}
