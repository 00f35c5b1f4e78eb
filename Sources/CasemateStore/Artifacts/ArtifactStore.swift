import CasemateLinux
import CasemateModel
import Glibc

/// Uploaded archives, by their SHA-256: in a folder, or in a bucket with those in the folder that were used last.
///
/// A file appears under its name only when it is complete and on disk. What does not have its digest any more is set aside, and nobody gets
/// it: a file of ours is read through before it is used, unless it was and has not changed since; what comes from a bucket on its way.
public final class ArtifactStore: Sendable {
    /// In bytes. A larger file is no archive.
    public static let largestInBytes = 100 << 20

    let folder: ArtifactFolder
    let uploads = RecentUploads()
    private let notices: ArtifactNotices
    /// Nil where the folder is all there is.
    private let bucket: BucketSide?

    /// All archives in a folder, in which nothing is ever let go.
    public init(folder: String, tell: @Sendable @escaping (ArtifactNotice) -> Void = { _ in }) throws {
        // Of a time with a bucket: what is there is not known any more.
        Files.removeTree(Self.marksFolder(of: folder))
        self.folder = try ArtifactFolder(folder, cache: nil)
        notices = ArtifactNotices(tell)
        bucket = nil
    }

    /// Archives in a bucket.
    /// - Parameters:
    ///   - folder: for those that were used last, `cacheInBytes` of them.
    ///   - place: what tells the bucket and what is in it from any other.
    ///   - owner: this server's identity, for ever.
    ///   - clock: for tests.
    public init(
        folder: String, bucket: any ArtifactBucket, place: String = "", owner: String, cacheInBytes: Int,
        clock: @Sendable @escaping () -> ContinuousClock.Instant = { .now },
        tell: @Sendable @escaping (ArtifactNotice) -> Void = { _ in }
    ) throws {
        let marks = try BucketMarks(folder: Self.marksFolder(of: folder), place: place)
        self.folder = try ArtifactFolder(folder, cache: .init(limitInBytes: cacheInBytes, marks: marks))
        notices = ArtifactNotices(tell)
        self.bucket = BucketSide(bucket, owner: owner, folder: self.folder, marks: marks, notices: notices, clock: clock)
    }

    /// Where a server notes which archives its bucket has, as files of their names.
    public static func marksFolder(of folder: String) -> String { folder + ".put" }

    /// Whether a file in the folder is none yet.
    public static func isUnfinished(_ name: String) -> Bool {
        UnfinishedArchive.Origin.allCases.contains { name.hasPrefix($0.rawValue) }
    }

    /// 64 lower-case hexadecimal digits.
    public static func isDigest(_ text: String) -> Bool {
        text.utf8.count == 64 && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    }

    /// Makes sure that no other server has the bucket's place. One that does not answer is asked again before anything is changed there.
    /// - Throws: `.taken`; `.refused` where that can't be found out.
    public func begin() async throws(ArtifactBucketError) {
        do throws(ArtifactBucketError) { try await bucket?.claim() } catch {
            guard case .unavailable = error else { throw error }
            notices.failed(
                "the bucket of artifacts can't be used now: what is on this machine can, and nothing can be uploaded", error)
        }
    }

    /// An open descriptor of the archive, or nil when there is none.
    /// - Throws: `.unavailable` when it is not what its digest says, or can't be had now.
    public func open(_ digest: String) async throws -> Descriptor? {
        guard Self.isDigest(digest) else { return nil }
        var wasTampered = false
        switch try await folder.open(digest) {
        case .file(let file): return file
        case .tampered(let file):
            wasTampered = true
            if folder.setAside(digest, file) { notices.quarantined(digest, bucket == nil ? .folder : .cache) }
        case .missing: break
        }
        switch await bucket?.fetch(digest) {
        case .file(let file): return try UnfinishedArchive.readable(file)
        case .tampered: throw Problem.archiveTampered
        case .failed(let error):
            notices.failed("an archive could not be had from the bucket", error)
            throw Problem.archiveUnreachable
        case .missing, nil:
            // What is in quarantine was here, which is another answer than that there was none.
            guard !wasTampered, !folder.quarantine.has(digest) else { throw Problem.archiveTampered }
            return nil
        }
    }

    /// Archives older than an hour: those of deployments that never came to an end are among them.
    public var settled: [String] {
        let times = folder.times.merging(bucket?.marks.times ?? [:]) { max($0, $1) }
        let limit = FileIdentity.now - Self.settlesAfter
        return times.filter { $0.value < limit }.keys.sorted()
    }

    /// Whether it still is.
    public func isSettled(_ digest: String) -> Bool {
        guard let newest = [folder.time(of: digest), bucket?.marks.time(of: digest)].compactMap({ $0 }).max() else { return false }
        return newest < FileIdentity.now - Self.settlesAfter
    }

    /// In nanoseconds.
    private static let settlesAfter = 3600 * 1_000_000_000

    /// Removes an archive. What the bucket does not remove now is among `settled` later.
    /// - Parameter isUnused: asked when nobody else stores or fetches it: whoever waits for that may wait long.
    /// - Returns: whether it is gone.
    @discardableResult
    public func remove(_ digest: String, if isUnused: @Sendable () async -> Bool = { true }) async -> Bool {
        guard Self.isDigest(digest) else { return true }
        guard let bucket else {
            if await isUnused() { folder.remove(digest) }
            return true
        }
        do throws(ArtifactBucketError) {
            try await bucket.remove(digest, if: isUnused)
            return true
        } catch {
            notices.failed("an archive could not be removed from the bucket", error)
            return false
        }
    }

    /// Puts into the bucket what lies in the folder alone, since there was no bucket when it came. Stops when that does not answer.
    public func moveToBucket() async {
        guard let bucket else { return }
        for digest in folder.digests where !bucket.marks.isStored(digest) {
            do {
                switch try await folder.open(digest) {
                case .missing: continue
                case .tampered(let file): if folder.setAside(digest, file) { notices.quarantined(digest, .cache) }
                case .file(let file): try await bucket.put(digest, from: file, sizeInBytes: try Files.size(of: file))
                }
            } catch let error as SystemError {
                notices.failed("an archive could not be read", error)
            } catch {
                notices.failed("an archive could not be put into the bucket", error)
                return
            }
        }
        folder.makeRoom()
    }

    /// How many were set aside since the start, by where they lay.
    public var quarantined: [ArtifactNotice.Place: Int] { notices.quarantined }

    /// - Throws: `.unavailable` while it is not known whose the bucket's place is.
    func mayStore() async throws(Problem) {
        do throws(ArtifactBucketError) { try await bucket?.claim() } catch {
            notices.failed("nothing can be put into the bucket of archives", error)
            throw .archiveNotStored
        }
    }

    func keep(_ archive: UnfinishedArchive, as digest: String, sizeInBytes: Int) async throws {
        do throws(ArtifactBucketError) { try await bucket?.put(digest, from: archive.file, sizeInBytes: sizeInBytes) } catch {
            notices.failed("an archive could not be put into the bucket", error)
            throw Problem.archiveNotStored
        }
        try folder.place(archive, as: digest, sizeInBytes: sizeInBytes)
    }
}
