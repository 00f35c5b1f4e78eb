import CasemateLinux
import CasemateStore
import Glibc

/// A second place for checkpoints: what stands there shows that the log was not changed, so it should be one that the server can add to but
/// not change.
public protocol CheckpointPlace: Sendable {
    /// For people.
    var name: String { get }
    /// Returns when the checkpoint is there for good.
    func add(_ checkpoint: AuditCheckpoint) async throws
}

/// A file that is only ever added to, one line for each checkpoint. `chattr +a` makes the file system hold to that.
public struct CheckpointFile: CheckpointPlace {
    public let name: String

    public init(path: String) { name = path }

    public func add(_ checkpoint: AuditCheckpoint) async throws {
        let fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard fd >= 0 else { throw SystemError.last("opening \(name)") }
        defer { close(fd) }
        try Files.writeAll(fd, checkpoint.line + [10], naming: name)
        guard fsync(fd) == 0 else { throw SystemError.last("writing \(name)") }
    }
}
