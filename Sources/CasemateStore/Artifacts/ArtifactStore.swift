import CasemateLinux
import CasemateModel
import Crypto
import Glibc
import Synchronization

/// Uploaded archives, by their SHA-256. A file appears under its name only when it is complete and on disk.
public final class ArtifactStore: Sendable {
    private let folder: String
    private let uploads = Uploads()

    public init(folder: String) throws {
        self.folder = folder
        try Files.makeDirectories(folder, mode: 0o700)
        for name in Files.names(in: folder) where name.hasPrefix(".upload-") { unlink(folder + "/" + name) }
    }

    /// 64 lower-case hexadecimal digits.
    public static func isDigest(_ text: String) -> Bool {
        text.utf8.count == 64 && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    }

    /// An upload under way; what is not finished leaves nothing.
    public final class Upload {
        private let folder: String
        private let uploads: Uploads
        private let subject: String?
        private let path: String
        private let fd: Int32
        private var hash = SHA256()
        private var finished = false

        fileprivate init(folder: String, uploads: Uploads, by subject: String?) throws {
            self.folder = folder
            self.uploads = uploads
            self.subject = subject
            path = "\(folder)/.upload-\(Id<ArtifactStore>().text)"
            fd = Glibc.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            guard fd >= 0 else { throw SystemError.last("storing an upload") }
        }

        deinit {
            close(fd)
            if !finished { unlink(path) }
        }

        public func write(_ bytes: [UInt8]) throws {
            hash.update(data: bytes)
            try Files.writeAll(fd, bytes, naming: "an upload")
        }

        /// Makes it durable.
        /// - Parameter record: is given the digest; where it throws, nothing is stored.
        /// - Returns: the digest, by which the archive is there from now on.
        public func finish(_ record: (String) async throws -> Void = { _ in }) async throws -> String {
            let digest = hash.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            guard fsync(fd) == 0 else { throw SystemError.last("storing an upload") }
            try await record(digest)
            guard rename(path, folder + "/" + digest) == 0 else { throw SystemError.last("storing an upload") }
            finished = true
            if let subject { uploads.note(digest, by: subject) }
            return digest
        }
    }

    /// - Parameter subject: who may deploy it by its digest; nil for nobody.
    public func upload(by subject: String?) throws -> Upload { try Upload(folder: folder, uploads: uploads, by: subject) }

    /// Whether `subject` uploaded the archive since the server started. A digest is no secret: whoever may not read another's source must
    /// not get it by deploying its digest.
    public func isUploaded(_ digest: String, by subject: String) -> Bool { uploads.contains(digest, by: subject) }

    /// An open descriptor of the archive, or nil when there is none.
    public func open(_ digest: String) -> Descriptor? {
        guard Self.isDigest(digest) else { return nil }
        let fd = Glibc.open(folder + "/" + digest, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        return fd < 0 ? nil : Descriptor(fd)
    }

    /// Archives older than an hour: those of deployments that never came to an end are among them.
    public var settled: [String] {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Files.names(in: folder).filter { name in
            var found = stat()
            return Self.isDigest(name) && stat(folder + "/" + name, &found) == 0 && now.tv_sec - found.st_mtim.tv_sec > 3600
        }
    }

    public func remove(_ digest: String) {
        guard Self.isDigest(digest) else { return }
        unlink(folder + "/" + digest)
    }
}

/// Who uploaded what, not long ago.
private final class Uploads: Sendable {
    private struct Key: Hashable {
        var digest: String
        var subject: String
    }

    private static let kept = Duration.seconds(6 * 3600)
    private let seen: Mutex<[Key: ContinuousClock.Instant]> = Mutex([:])

    func note(_ digest: String, by subject: String) {
        let now = ContinuousClock.now
        seen.withLock { seen in
            seen = seen.filter { now - $0.value < Self.kept }
            seen[Key(digest: digest, subject: subject)] = now
        }
    }

    func contains(_ digest: String, by subject: String) -> Bool {
        seen.withLock { seen in seen[Key(digest: digest, subject: subject)].map { ContinuousClock.now - $0 < Self.kept } ?? false }
    }
}
