import Glibc

/// A file descriptor that is closed with its last reference.
public final class Descriptor: Sendable {
    public let raw: Int32

    /// Takes over `raw`.
    public init(_ raw: Int32) { self.raw = raw }

    deinit { close(raw) }

    /// A descriptor of its own for the same file, close-on-exec.
    public func duplicate() throws(SystemError) -> Int32 {
        let copy = fcntl(raw, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw .last("duplicating a descriptor") }
        return copy
    }
}
