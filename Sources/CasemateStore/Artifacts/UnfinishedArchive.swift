import CasemateLinux
import CasemateModel
import Glibc
import Synchronization

/// A file on its way to becoming an archive. It has no digest's name yet; what is not finished leaves nothing.
final class UnfinishedArchive: Sendable {
    enum Origin: String, CaseIterable {
        case upload = ".upload-"
        case fetch = ".fetch-"
    }

    let path: String
    let file: Descriptor
    private let isFinished = Atomic(false)

    /// Readable for the server's user alone.
    init(in folder: String, _ origin: Origin) throws(SystemError) {
        path = "\(folder)/\(origin.rawValue)\(Id<ArtifactStore>().text)"
        let fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard fd >= 0 else { throw .last("storing an archive") }
        file = Descriptor(fd)
    }

    deinit { if !isFinished.load(ordering: .relaxed) { unlink(path) } }

    /// Makes it durable.
    func sync() throws(SystemError) { guard fsync(file.raw) == 0 else { throw .last("storing an archive") } }

    func becomes(_ name: String) throws(SystemError) {
        guard rename(path, name) == 0 else { throw .last("storing an archive") }
        isFinished.store(true, ordering: .relaxed)
    }

    /// Another descriptor of the same file, which can only be read, from its beginning.
    static func readable(_ file: Descriptor) throws(SystemError) -> Descriptor {
        defer { file.staysOpen() }
        let fd = open("/proc/self/fd/\(file.raw)", O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { throw .last("opening an archive") }
        return Descriptor(fd)
    }
}
