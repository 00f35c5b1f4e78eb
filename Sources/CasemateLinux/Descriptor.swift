import Glibc

/// A file descriptor that is closed with its last reference.
///
/// The optimiser lets go of a local reference right after its last use, which may be before the number taken from it is used. So whoever
/// takes `raw` of a local one says `defer { it.staysOpen() }`.
public final class Descriptor: Sendable {
    public let raw: Int32

    /// Takes over `raw`.
    public init(_ raw: Int32) { self.raw = raw }

    deinit { close(raw) }

    /// Keeps the descriptor open up to here.
    public func staysOpen() { withExtendedLifetime(self) {} }

    /// A descriptor of its own for the same file, close-on-exec.
    public func duplicate() throws(SystemError) -> Int32 {
        let copy = fcntl(raw, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw .last("duplicating a descriptor") }
        return copy
    }
}
