import CasemateLinux
import Crypto
import Dispatch
import Glibc
import Synchronization

/// Archives on this machine's disk, by their digests: all there are, or those of a bucket that were used last.
final class ArtifactFolder: Sendable {
    enum Found: Sendable {
        case missing
        case file(Descriptor)
        /// Something else than its name says.
        case tampered(Descriptor)
    }

    /// Of a folder that holds what a bucket has, too.
    struct Cache: Sendable {
        let limitInBytes: Int
        let marks: BucketMarks
    }

    let path: String
    let quarantine: Quarantine
    private let marks: BucketMarks?
    private let verified = Mutex(VerifiedFiles())
    /// Nil where nothing ever has to go.
    private let order: Mutex<CacheOrder?>
    /// How many files were read through since the start.
    let readings = Atomic(0)

    init(_ path: String, cache: Cache?) throws(SystemError) {
        self.path = path
        marks = cache?.marks
        let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        quarantine = Quarantine(folder: parent + "/quarantine")
        try Files.makeDirectories(path, mode: 0o700)
        var found: [(digest: String, file: FileIdentity)] = []
        for name in Files.names(in: path) {
            if ArtifactStore.isUnfinished(name) { unlink(path + "/" + name) }
            if cache != nil, ArtifactStore.isDigest(name), let file = FileIdentity(path: path + "/" + name) { found.append((name, file)) }
        }
        found.sort { $0.file.modified < $1.file.modified }
        let known = found.map { ($0.digest, $0.file.sizeInBytes) }
        order = Mutex(cache.map { CacheOrder(limitInBytes: $0.limitInBytes, found: known) })
    }

    func new(_ origin: UnfinishedArchive.Origin) throws(SystemError) -> UnfinishedArchive { try UnfinishedArchive(in: path, origin) }

    /// Opens what lies under a digest. It is read through first, unless it was and has not changed since.
    func open(_ digest: String) async throws(SystemError) -> Found {
        let fd = Glibc.open("\(path)/\(digest)", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard fd >= 0 else {
            // A link is none of ours.
            guard errno == ENOENT || errno == ELOOP else { throw .last("opening an archive") }
            return .missing
        }
        let file = Descriptor(fd)
        guard let before = FileIdentity(file) else { throw .last("looking at an archive") }
        if verified.withLock({ $0.has(digest, as: before) }) {
            order.withLock { $0?.use(digest) }
            return .file(file)
        }
        let begin = FileIdentity.now
        guard before.mayBeArchive, try await digestOfFile(file) == digest else { return .tampered(file) }
        if FileIdentity(file) == before { verified.withLock { $0.note(digest, as: before, readFrom: begin) } }
        order.withLock { $0?.use(digest) }
        return .file(file)
    }

    /// Takes what was found tampered out of the way.
    /// - Returns: whether it was still there, and not another file.
    func setAside(_ digest: String, _ file: Descriptor) -> Bool {
        let name = "\(path)/\(digest)"
        guard let opened = FileIdentity(file), let there = FileIdentity(path: name), there.isSameFile(as: opened) else { return false }
        forget(digest)
        quarantine.take(name, of: digest, isKept: opened.mayBeArchive)
        return true
    }

    /// Gives an archive its name; others may have to go for it.
    func place(_ archive: UnfinishedArchive, as digest: String, sizeInBytes: Int) throws(SystemError) {
        try archive.becomes("\(path)/\(digest)")
        verified.withLock { $0.forget(digest) }
        order.withLock { $0?.add(digest, sizeInBytes: sizeInBytes) }
        makeRoom(keeping: digest)
    }

    /// Removes what was not used for the longest time, where all is more than the limit and the bucket has it. What is open stays readable.
    func makeRoom(keeping newest: String? = nil) {
        guard let marks else { return }
        let gone = order.withLock { $0?.makeRoom(keeping: newest, where: marks.isStored) ?? [] }
        for digest in gone { remove(digest) }
    }

    func remove(_ digest: String) {
        unlink("\(path)/\(digest)")
        forget(digest)
    }

    var digests: [String] { Files.names(in: path).filter(ArtifactStore.isDigest) }

    /// Digests, and when each came.
    var times: [String: Int] {
        var found: [String: Int] = [:]
        for digest in digests { found[digest] = time(of: digest) }
        return found
    }

    func time(of digest: String) -> Int? { FileIdentity(path: "\(path)/\(digest)")?.modified }

    private func forget(_ digest: String) {
        verified.withLock { $0.forget(digest) }
        order.withLock { $0?.remove(digest) }
    }

    /// On a thread that may block.
    private func digestOfFile(_ file: Descriptor) async throws(SystemError) -> String? {
        readings.add(1, ordering: .relaxed)
        let result: Result<String?, SystemError> = await withCheckedContinuation { continuation in
            DispatchQueue.global(qos: .userInitiated).async {
                do throws(SystemError) {
                    continuation.resume(returning: .success(try Self.read(file)))
                } catch { continuation.resume(returning: .failure(error)) }
            }
        }
        return try result.get()
    }

    /// Nil where it is larger than an archive may be.
    private static func read(_ file: Descriptor) throws(SystemError) -> String? {
        defer { file.staysOpen() }
        var hash = SHA256()
        var size = 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            // Where the descriptor stands is for whoever gets it.
            let count = pread(file.raw, buffer.baseAddress, buffer.count, off_t(size))
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .last("reading an archive") }
            if count == 0 { return AuditChain.hex(hash.finalize()) }
            size += count
            guard size <= ArtifactStore.largestInBytes else { return nil }
            hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }
}
