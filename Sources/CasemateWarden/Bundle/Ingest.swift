import CLinux
import CasemateLinux
import CasemateWire
import Glibc

/// Copies what a build left into the store. A process of its own, so that a long copy delays no cold start.
///
/// The build sandbox is dead by now, yet its tree is hostile: only regular files, folders and inward links, within limits, beneath `output`.
public enum Ingest {
    /// `digest(32) files(4) bytes(8)` on success, else a line of text after a zero byte; written to descriptor 1.
    public static func run(output: Int32, bundles: Int32, maximumBytes: UInt64, maximumFiles: UInt32) -> Int32 {
        var out = ByteWriter()
        do throws(SystemError) {
            let (digest, tree) = try copy(
                from: output, into: bundles, limits: BundleTree.Limits(bytes: maximumBytes, files: Int(maximumFiles)))
            out.integer(UInt8(1))
            out.append(digest.bytes)
            out.integer(UInt32(tree.entries.count))
            out.integer(tree.bytes)
        } catch {
            out.integer(UInt8(0))
            out.append("\(error)".utf8.prefix(200))
        }
        do { try Files.writeAll(1, out.bytes, naming: "the result") } catch { return 1 }
        return 0
    }

    private static func copy(from output: Int32, into bundles: Int32, limits: BundleTree.Limits) throws(SystemError) -> (
        BundleDigest, BundleTree
    ) {
        let source = try BundleTree(root: output, limits: limits)
        let staging = ".staging-\(getpid())"
        guard mkdirat(bundles, staging, 0o755) == 0 else { throw .last("making a staging folder") }
        do throws(SystemError) {
            return try fill(staging, with: source, from: output, in: bundles, limits: limits)
        } catch {
            Files.removeTree("/proc/self/fd/\(bundles)/\(staging)")
            throw error
        }
    }

    private static func fill(_ staging: String, with source: BundleTree, from output: Int32, in bundles: Int32, limits: BundleTree.Limits)
        throws(SystemError) -> (BundleDigest, BundleTree)
    {
        let target = Descriptor(
            try check(cl_open_beneath(bundles, staging, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), "opening the staging folder"))
        defer { target.staysOpen() }
        for entry in source.entries { try copy(entry, from: output, to: target.raw, limit: limits.bytes) }
        let tree = try BundleTree(root: target.raw, limits: limits)
        let digest = try tree.digest(root: target.raw)
        // Everything is on disk before the name appears.
        try check(cl_syncfs(bundles), "syncing the bundles' folder")
        if renameat(bundles, staging, bundles, BundleStore.name(digest)) != 0 {
            guard errno == ENOTEMPTY || errno == EEXIST else { throw .last("naming the bundle") }
            Files.removeTree("/proc/self/fd/\(bundles)/\(staging)")
        }
        try check(cl_syncfs(bundles), "syncing the bundles' folder")
        return (digest, tree)
    }

    private static func copy(_ entry: BundleTree.Entry, from source: Int32, to target: Int32, limit: UInt64) throws(SystemError) {
        switch entry.kind {
        case UInt8(ascii: "d"):
            guard mkdirat(target, entry.path, 0o755) == 0 else { throw .last("making \(entry.path)") }
        case UInt8(ascii: "l"):
            guard symlinkat(entry.target, target, entry.path) == 0 else { throw .last("linking \(entry.path)") }
        default:
            let from = Descriptor(
                try check(cl_open_beneath(source, entry.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0), "opening \(entry.path)"))
            let to = Descriptor(
                try check(
                    cl_open_beneath(target, entry.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode_t(entry.mode)), "making \(entry.path)"
                ))
            defer {
                from.staysOpen()
                to.staysOpen()
            }
            guard fchmod(to.raw, mode_t(entry.mode)) == 0 else { throw .last("setting the mode of \(entry.path)") }
            var left = entry.size
            while left > 0 {
                let moved = sendfile(to.raw, from.raw, nil, Int(min(left, 1 << 20)))
                guard moved > 0 else { throw .last("copying \(entry.path)") }
                left -= UInt64(moved)
            }
        }
    }
}
