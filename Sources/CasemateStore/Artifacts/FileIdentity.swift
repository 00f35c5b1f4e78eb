import CasemateLinux
import Glibc

/// What tells one state of a file from another. Whoever may write a file can put its bytes, its size and the time of its modification back,
/// but not `st_ctime`, which the kernel sets: for that one has to be root (inode(7)).
struct FileIdentity: Equatable, Sendable {
    private let device: UInt
    private let inode: UInt
    private let isFile: Bool
    let sizeInBytes: Int
    /// Nanoseconds since 1970, like all times here.
    let modified: Int
    private let changed: Int

    private init(_ found: stat) {
        device = UInt(found.st_dev)
        inode = UInt(found.st_ino)
        isFile = found.st_mode & S_IFMT == S_IFREG
        sizeInBytes = Int(found.st_size)
        modified = Self.nanoseconds(found.st_mtim)
        changed = Self.nanoseconds(found.st_ctim)
    }

    /// Of an open file.
    init?(_ file: Descriptor) {
        defer { file.staysOpen() }
        var found = stat()
        guard fstat(file.raw, &found) == 0 else { return nil }
        self.init(found)
    }

    /// Of a path, whose last part is no link that is followed.
    init?(path: String) {
        var found = stat()
        guard lstat(path, &found) == 0 else { return nil }
        self.init(found)
    }

    var mayBeArchive: Bool { isFile && sizeInBytes <= ArtifactStore.largestInBytes }

    func isSameFile(as other: FileIdentity) -> Bool { device == other.device && inode == other.inode }

    /// Whether a later change shows. The kernel's clock for files has ticks of 10 ms at most: within one, two changes look alike.
    func isSettled(at time: Int) -> Bool { time - changed > 20_000_000 }

    static var now: Int {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return nanoseconds(time)
    }

    private static func nanoseconds(_ time: timespec) -> Int {
        // Whoever may write a file says when: also beyond what fits.
        let seconds = min(max(Int(time.tv_sec), 0), Int.max / 1_000_000_000 - 1)
        return seconds * 1_000_000_000 + Int(time.tv_nsec)
    }
}

/// Files that were read through and had their digest: while one has not changed since, it is not read again.
struct VerifiedFiles {
    private var known: [String: FileIdentity] = [:]

    func has(_ digest: String, as identity: FileIdentity) -> Bool { known[digest] == identity }

    /// - Parameter time: before it was read.
    mutating func note(_ digest: String, as identity: FileIdentity, readFrom time: Int) {
        if identity.isSettled(at: time) { known[digest] = identity }
    }

    mutating func forget(_ digest: String) { known[digest] = nil }
}
