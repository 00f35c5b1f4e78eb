import Glibc

/// What a path is (stat(2)), without that call's own type: the headers of other libraries bring `struct stat` along too, and which one
/// Swift then means depends on the build.
public struct FileStatus: Equatable, Sendable {
    public enum Kind: Sendable { case file, folder, link, other }

    public var kind: Kind
    /// With the bits of the kind.
    public var mode: mode_t
    public var owner: uid_t
    /// In bytes.
    public var size: Int

    private init(_ found: stat) {
        kind =
            switch found.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .folder
            case S_IFLNK: .link
            default: .other
            }
        (mode, owner, size) = (found.st_mode, found.st_uid, Int(found.st_size))
    }

    /// Of a link itself, unless `following`; nil where there is nothing.
    public init?(_ path: String, following: Bool = false) {
        var found = stat()
        guard (following ? stat(path, &found) : lstat(path, &found)) == 0 else { return nil }
        self.init(found)
    }

    /// Of an open file.
    public init?(_ descriptor: Int32) {
        var found = stat()
        guard fstat(descriptor, &found) == 0 else { return nil }
        self.init(found)
    }
}
