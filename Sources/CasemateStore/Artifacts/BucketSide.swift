import CasemateLinux

/// A store's other side: puts archives into a bucket, gets them from there, and sees to it that they are what they should be.
actor BucketSide {
    enum Fetched: Sendable {
        case file(Descriptor)
        case missing
        case tampered
        case failed(ArtifactBucketError)
    }

    /// What was found tampered is not looked at again for so long.
    static let tamperedFor = Duration.seconds(300)

    let marks: BucketMarks
    private let bucket: any ArtifactBucket
    private let owner: String
    private let folder: ArtifactFolder
    private let notices: ArtifactNotices
    private let clock: @Sendable () -> ContinuousClock.Instant
    private var isOurs = false
    private var fetches: [String: Task<Fetched, Never>] = [:]
    private var tampered: [String: ContinuousClock.Instant] = [:]
    /// Those who wait to store or remove an archive that another one is storing or removing.
    private var waiting: [String: [CheckedContinuation<Void, Never>]] = [:]

    /// - Parameters:
    ///   - owner: this server's identity.
    ///   - clock: for tests.
    init(
        _ bucket: any ArtifactBucket, owner: String, folder: ArtifactFolder, marks: BucketMarks, notices: ArtifactNotices,
        clock: @Sendable @escaping () -> ContinuousClock.Instant
    ) {
        self.bucket = bucket
        self.owner = owner
        self.folder = folder
        self.marks = marks
        self.notices = notices
        self.clock = clock
    }

    /// Makes sure that the place is this server's. Asked until it is known.
    func claim() async throws(ArtifactBucketError) {
        if isOurs { return }
        guard try await bucket.claim(for: owner) == owner else { throw .taken }
        isOurs = true
    }

    /// Stores the beginning of a file, whose SHA-256 is `digest`. What is there already is read: it may be something else.
    func put(_ digest: String, from file: Descriptor, sizeInBytes: Int) async throws(ArtifactBucketError) {
        await takeTurn(digest)
        defer { endTurn(digest) }
        try await claim()
        try noted { () throws(SystemError) in try marks.begin(digest) }
        var replacing = isTampered(digest)
        for _ in 1...3 {
            if try await bucket.put(digest, from: file, sizeInBytes: sizeInBytes, replacing: replacing) {
                tampered[digest] = nil
                return try noted { () throws(SystemError) in try marks.finish(digest) }
            }
            switch await download(digest) {
            case .whole: return try noted { () throws(SystemError) in try marks.finish(digest) }
            // Somebody has just removed it.
            case .missing: continue
            case .tampered: replacing = true
            case .failed(let error): throw error
            }
        }
        throw .unavailable("an archive comes and goes in the bucket")
    }

    /// Removes an archive here and there. What fails is tried again: a mark is left.
    /// - Parameter isUnused: asked when nobody else stores or fetches it.
    func remove(_ digest: String, if isUnused: @Sendable () async -> Bool) async throws(ArtifactBucketError) {
        await takeTurn(digest)
        defer { endTurn(digest) }
        guard await isUnused() else { return }
        folder.remove(digest)
        // From here on it may be gone there.
        try noted { () throws(SystemError) in try marks.begin(digest) }
        marks.isNotSurelyThere(digest)
        try await claim()
        try await bucket.remove(digest)
        marks.forget(digest)
    }

    /// Brings an archive into the folder. Who asks for one that is on its way waits for that.
    func fetch(_ digest: String) async -> Fetched {
        if isTampered(digest) { return .tampered }
        if let running = fetches[digest] { return await running.value }
        let task = Task { await bring(digest) }
        fetches[digest] = task
        let fetched = await task.value
        fetches[digest] = nil
        return fetched
    }

    private func bring(_ digest: String) async -> Fetched {
        await takeTurn(digest)
        defer { endTurn(digest) }
        switch await download(digest) {
        case .missing: return .missing
        case .tampered: return .tampered
        case .failed(let error): return .failed(error)
        case .whole(let archive, let sizeInBytes):
            do throws(SystemError) {
                // It is there, so that it may go from here.
                try marks.finish(digest)
                try folder.place(archive, as: digest, sizeInBytes: sizeInBytes)
                return .file(archive.file)
            } catch { return .failed(.unavailable("\(error)")) }
        }
    }

    private enum Download: Sendable {
        case whole(UnfinishedArchive, sizeInBytes: Int)
        case missing
        case tampered
        case failed(ArtifactBucketError)
    }

    private func download(_ digest: String) async -> Download {
        do {
            let archive = try folder.new(.fetch)
            let sink = ArtifactSink(archive.file, most: ArtifactStore.largestInBytes)
            do throws(ArtifactBucketError) { try await bucket.get(digest, into: sink) } catch {
                guard sink.isTooLarge || sink.fault != nil else { return error == .missing ? .missing : .failed(error) }
            }
            if let fault = sink.fault { throw fault }
            guard !sink.isTooLarge, sink.digest == digest else {
                folder.quarantine.take(archive.path, of: digest, isKept: !sink.isTooLarge)
                noteTampered(digest)
                return .tampered
            }
            try await Self.sync(archive)
            return .whole(archive, sizeInBytes: sink.sizeInBytes)
        } catch { return .failed(.unavailable("\(error)")) }
    }

    /// Not on the actor, whose other work need not wait for the disk.
    private static func sync(_ archive: UnfinishedArchive) async throws(SystemError) { try archive.sync() }

    private func noteTampered(_ digest: String) {
        let now = clock()
        tampered = tampered.filter { now - $0.value < Self.tamperedFor }
        tampered[digest] = now
        notices.quarantined(digest, .bucket)
    }

    private func isTampered(_ digest: String) -> Bool { tampered[digest].map { clock() - $0 < Self.tamperedFor } ?? false }

    private func noted(_ body: () throws(SystemError) -> Void) throws(ArtifactBucketError) {
        do throws(SystemError) { try body() } catch { throw .unavailable("\(error)") }
    }

    /// One at a time for each archive: else one that is stored could be removed by whoever saw that nothing used the one before.
    private func takeTurn(_ digest: String) async {
        guard waiting[digest] != nil else {
            waiting[digest] = []
            return
        }
        await withCheckedContinuation { waiting[digest]?.append($0) }
    }

    private func endTurn(_ digest: String) {
        if waiting[digest]?.isEmpty == false { waiting[digest]?.removeFirst().resume() } else { waiting[digest] = nil }
    }
}
