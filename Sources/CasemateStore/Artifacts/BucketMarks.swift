import CasemateLinux
import Glibc

/// What this server has put into its bucket, as empty files: `DIGEST` for what is there, `.put-DIGEST` for what may be.
struct BucketMarks: Sendable {
    let folder: String

    /// - Parameter place: which bucket that is: what another one has says nothing.
    init(folder: String, place: String) throws(SystemError) {
        self.folder = folder
        let file = folder + "/.place"
        let known = Files.exists(file) ? try Files.text(file) : nil
        if known != place {
            Files.removeTree(folder)
            try Files.makeDirectories(folder, mode: 0o700)
            try Files.write(place, to: file)
        }
    }

    /// It may be there from now on.
    func begin(_ digest: String) throws(SystemError) { try make(folder + "/.put-" + digest) }

    /// It is there.
    func finish(_ digest: String) throws(SystemError) {
        try make(folder + "/" + digest)
        unlink(folder + "/.put-" + digest)
    }

    /// It may be gone.
    func isNotSurelyThere(_ digest: String) { unlink(folder + "/" + digest) }

    /// It is not there any more.
    func forget(_ digest: String) {
        unlink(folder + "/" + digest)
        unlink(folder + "/.put-" + digest)
    }

    func isStored(_ digest: String) -> Bool { Files.exists(folder + "/" + digest) }

    /// Digests, and when each was put last.
    var times: [String: Int] {
        var found: [String: Int] = [:]
        for name in Files.names(in: folder) {
            let digest = name.hasPrefix(".put-") ? String(name.dropFirst(5)) : name
            guard ArtifactStore.isDigest(digest), let identity = FileIdentity(path: folder + "/" + name) else { continue }
            found[digest] = max(found[digest] ?? 0, identity.modified)
        }
        return found
    }

    /// When it was put last.
    func time(of digest: String) -> Int? {
        [digest, ".put-" + digest].compactMap { FileIdentity(path: folder + "/" + $0)?.modified }.max()
    }

    private func make(_ path: String) throws(SystemError) {
        try Files.write("", to: path)
        // One that was there already is as if new.
        utimensat(AT_FDCWD, path, nil, 0)
    }
}
