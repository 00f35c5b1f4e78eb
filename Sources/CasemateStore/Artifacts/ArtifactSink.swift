import CasemateLinux
import Crypto
import Glibc
import Synchronization

/// Takes an archive as it comes out of a bucket: into a file, and into its hash.
public final class ArtifactSink: Sendable {
    private struct State {
        var hash = SHA256()
        var sizeInBytes = 0
        var isTooLarge = false
        var fault: SystemError?
    }

    private let file: Descriptor
    private let most: Int
    private let state = Mutex(State())

    /// - Parameter most: more is not taken. In bytes.
    init(_ file: Descriptor, most: Int) {
        self.file = file
        self.most = most
    }

    /// An attempt begins: what came before it is void.
    public func begin() -> Bool {
        state.withLock { state in
            state = State()
            guard ftruncate(file.raw, 0) == 0 else {
                state.fault = .last("emptying a file")
                return false
            }
            return true
        }
    }

    /// - Returns: whether it was taken.
    public func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        state.withLock { state in
            guard bytes.count <= most - state.sizeInBytes else {
                state.isTooLarge = true
                return false
            }
            var written = 0
            while written < bytes.count, let base = bytes.baseAddress {
                let more = pwrite(file.raw, base + written, bytes.count - written, off_t(state.sizeInBytes + written))
                if more < 0, errno == EINTR { continue }
                guard more > 0 else {
                    state.fault = .last("writing an archive")
                    return false
                }
                written += more
            }
            state.hash.update(bufferPointer: bytes)
            state.sizeInBytes += bytes.count
            return true
        }
    }

    var digest: String { state.withLock { AuditChain.hex($0.hash.finalize()) } }
    var sizeInBytes: Int { state.withLock { $0.sizeInBytes } }
    var isTooLarge: Bool { state.withLock { $0.isTooLarge } }
    /// Why this machine could not take it.
    var fault: SystemError? { state.withLock { $0.fault } }
}
