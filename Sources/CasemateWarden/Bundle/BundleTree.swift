import CLinux
import CasemateLinux
import CasemateWire
import Glibc

/// The entries of a folder, walked beneath its descriptor, in the order in which they are digested.
struct BundleTree {
    /// One file, folder or link, with what shows that it is unchanged.
    struct Entry: Equatable {
        var path: String
        var kind: UInt8  // f, d, l
        var mode: UInt32
        var size: UInt64
        var inode: UInt64
        var changed: Int64
        var target: String
    }

    struct Limits {
        var bytes: UInt64
        var files: Int
        var depth = 32
    }

    private(set) var entries: [Entry] = []
    private(set) var bytes: UInt64 = 0

    /// Walks `root`. Anything that is no regular file, folder or inward relative link is refused, as are counts and sizes over `limits`.
    init(root: Int32, limits: Limits) throws(SystemError) {
        try walk(root, prefix: "", depth: 0, limits: limits)
        entries.sort { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
        try refuseLinksByWayOfLinks()
    }

    private mutating func walk(_ folder: Int32, prefix: String, depth: Int, limits: Limits) throws(SystemError) {
        guard depth < limits.depth else { throw SystemError("walking \(prefix): too deep", errno: ELOOP) }
        let copy = try check(cl_open_beneath(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), "opening \(prefix)")
        for name in Files.names(consuming: copy) {
            let path = prefix.isEmpty ? name : prefix + "/" + name
            // A name that is not text comes back repaired and then names nothing.
            var found = cl_stat()
            try check(cl_stat_at(folder, name, &found), "looking at \(path)")
            guard entries.count < limits.files else { throw SystemError("walking: too many entries", errno: EMFILE) }
            var entry = Entry(
                path: path, kind: 0, mode: found.mode & 0o111 == 0 ? 0o644 : 0o755, size: 0, inode: found.inode, changed: found.changed_ns,
                target: "")
            switch mode_t(found.mode) & S_IFMT {
            case S_IFREG:
                entry.kind = UInt8(ascii: "f")
                entry.size = found.size
                bytes += found.size
                guard bytes <= limits.bytes else { throw SystemError("walking: too many bytes", errno: EFBIG) }
                entries.append(entry)
            case S_IFDIR:
                entry.kind = UInt8(ascii: "d")
                entry.mode = 0o755
                entries.append(entry)
                let inner = Descriptor(
                    try check(cl_open_beneath(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, 0), "opening \(path)"))
                defer { inner.staysOpen() }
                try walk(inner.raw, prefix: path, depth: depth + 1, limits: limits)
            case S_IFLNK:
                entry.kind = UInt8(ascii: "l")
                entry.mode = 0o777
                var target = [UInt8](repeating: 0, count: 1024)
                let length = target.withUnsafeMutableBytes {
                    readlinkat(folder, name, $0.baseAddress!.assumingMemoryBound(to: CChar.self), 1024)
                }
                guard length > 0, length < 1024, let text = String(validating: target.prefix(length), as: UTF8.self),
                    Self.staysInside(text, from: path)
                else { throw SystemError("walking \(path): a link that leads out", errno: EXDEV) }
                entry.target = text
                entries.append(entry)
            default: throw SystemError("walking \(path): neither file, folder nor link", errno: EINVAL)
            }
        }
    }

    /// What a link passes on its way must be folders: by way of another link, `..` would lead elsewhere than it reads.
    private func refuseLinksByWayOfLinks() throws(SystemError) {
        let links = entries.filter { $0.kind == UInt8(ascii: "l") }
        let paths = Set(links.map(\.path))
        for link in links {
            var place = Array(link.path.split(separator: "/").dropLast())
            let steps = link.target.split(separator: "/").filter { $0 != "." }
            for (index, step) in steps.enumerated() {
                if step == ".." { _ = place.popLast() } else { place.append(step) }
                guard index + 1 == steps.count || !paths.contains(place.joined(separator: "/")) else {
                    throw SystemError("walking \(link.path): a link by way of another link", errno: EXDEV)
                }
            }
        }
    }

    /// Whether a relative link at `path` ends inside the tree.
    static func staysInside(_ target: String, from path: String) -> Bool {
        guard !target.hasPrefix("/"), !target.utf8.contains(0) else { return false }
        var depth = path.split(separator: "/").count - 1
        for part in target.split(separator: "/") {
            if part == "." { continue }
            depth += part == ".." ? -1 : 1
            if depth < 0 { return false }
        }
        return true
    }

    /// The digest that PROTOCOL.md defines; reads every file.
    func digest(root: Int32) throws(SystemError) -> BundleDigest {
        let whole = SHA256()
        for entry in entries {
            let content: String
            switch entry.kind {
            case UInt8(ascii: "f"): content = BundleDigest(try Self.hash(entry, root: root))!.hex
            case UInt8(ascii: "l"): content = entry.target
            default: content = ""
            }
            let mode = "0" + String(entry.mode, radix: 8)
            whole.update(
                Array(entry.path.utf8) + [0, entry.kind, 0] + Array(mode.utf8) + [0] + Array(content.utf8) + [UInt8(ascii: "\n")])
        }
        return BundleDigest(whole.finish())!
    }

    private static func hash(_ entry: Entry, root: Int32) throws(SystemError) -> [UInt8] {
        let file = Descriptor(try check(cl_open_beneath(root, entry.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0), "opening \(entry.path)"))
        defer { file.staysOpen() }
        let hash = SHA256()
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let got = read(file.raw, &chunk, chunk.count)
            guard got >= 0 else { throw .last("reading \(entry.path)") }
            if got == 0 { return hash.finish() }
            chunk.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<got])) }
        }
    }
}
