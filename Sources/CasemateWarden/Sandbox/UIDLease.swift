import CLinux
import CasemateLinux
import Glibc

/// A range of 65,536 host uids that only one sandbox of this host has: a locked file per range, shared by all wardens.
///
/// Ranges start just above systemd's container range (its end is 1,879,048,191).
struct UIDLease: ~Copyable {
    static let base: UInt32 = 1_879_048_192
    static let size: UInt32 = 65_536
    static let count: UInt32 = 4_096

    let hostUID: UInt32
    private let lock: Int32

    /// The first free range at or after `hint`.
    init(startingAt hint: UInt32) throws(SystemError) {
        for offset in 0..<Self.count {
            let slot = (hint &+ offset) % Self.count
            let path = "\(WardenSettings.runRoot)/uids/\(slot)"
            let fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            guard fd >= 0 else { throw .last("opening \(path)") }
            if cl_lock_exclusive(fd) == 0 {
                hostUID = Self.base + slot * Self.size
                lock = fd
                return
            }
            close(fd)
        }
        throw SystemError("leasing a range of uids", errno: EAGAIN)
    }

    deinit { close(lock) }
}
