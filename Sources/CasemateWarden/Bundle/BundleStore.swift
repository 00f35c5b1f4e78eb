import CLinux
import CasemateLinux
import CasemateWire
import Glibc

/// The bundles of this warden: `bundles/sha256-…`, root's, read-only in every sandbox, checked before each use.
final class BundleStore {
    let folder: Descriptor
    private let path: String
    /// What was walked when the digest was last computed. Same inode, size and ctime of every entry: the bytes need not be read again.
    private var verified: [BundleDigest: [BundleTree.Entry]] = [:]
    private static let generous = BundleTree.Limits(bytes: 4 << 30, files: 200_000)

    init(path: String) throws(SystemError) {
        self.path = path
        try Files.makeDirectories(path, mode: 0o700)
        let fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard fd >= 0 else { throw .last("opening the bundles' folder") }
        folder = Descriptor(fd)
        // Overlays need a second layer, and are named relative to the current folder.
        guard mkdirat(fd, ".empty", 0o755) == 0 || errno == EEXIST else { throw .last("making an empty folder") }
        for name in Files.names(in: path) where name.hasPrefix(".staging-") { Files.removeTree(path + "/" + name) }
    }

    static func name(_ digest: BundleDigest) -> String { "sha256-" + digest.hex }

    enum Verdict { case intact, unknown, changed }

    /// Whether the bundle on disk is the one that `digest` names.
    func verify(_ digest: BundleDigest) throws(SystemError) -> Verdict {
        let fd = cl_open_beneath(folder.raw, Self.name(digest), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        guard fd >= 0 else { return .unknown }
        let root = Descriptor(fd)
        defer { root.staysOpen() }
        let tree = try BundleTree(root: root.raw, limits: Self.generous)
        if verified[digest] == tree.entries { return .intact }
        verified[digest] = nil
        guard try tree.digest(root: root.raw) == digest else { return .changed }
        verified[digest] = tree.entries
        return .intact
    }

    /// Sorted.
    func stored(after: BundleDigest?) -> [BundleDigest] {
        Files.names(in: path).filter { $0.hasPrefix("sha256-") }.compactMap { BundleDigest(hex: $0.dropFirst("sha256-".count)) }
            .filter { digest in after.map { $0 < digest } ?? true }.sorted()
    }

    func remove(_ digest: BundleDigest) {
        verified[digest] = nil
        Files.removeTree(path + "/" + Self.name(digest))
    }
}
