import CasemateLinux
import CasemateModel
import Glibc

/// Tells whether a process that has claimed calls still lives: it holds a lock on a file of its own, which ends with it however it ends.
public final class WorkerLock: Sendable {
    /// Nobody's before.
    public let name: String
    private let folder: String
    private let descriptor: Descriptor

    /// - Parameter folder: made where it is not there.
    /// - Throws: `SystemError`.
    public init(folder: String) throws {
        try Files.makeDirectories(folder, mode: 0o700)
        self.folder = folder
        name = Id<WorkerLock>().text
        let fd = open("\(folder)/\(name)", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard fd >= 0, flock(fd, LOCK_EX | LOCK_NB) == 0 else { throw SystemError.last("locking \(folder)/\(name)") }
        descriptor = Descriptor(fd)
    }

    /// Whether the process of that name has ended. What is no name of ours has.
    public func isGone(_ other: String) -> Bool {
        guard other != name else { return false }
        guard Id<WorkerLock>(other) != nil else { return true }
        let fd = open("\(folder)/\(other)", O_RDWR | O_CLOEXEC)
        guard fd >= 0 else { return true }
        defer { close(fd) }
        guard flock(fd, LOCK_EX | LOCK_NB) == 0 else { return false }
        unlink("\(folder)/\(other)")
        return true
    }

    /// Removes the files of those that have ended.
    public func sweep() {
        for name in Files.names(in: folder) where name != self.name { _ = isGone(name) }
    }
}
