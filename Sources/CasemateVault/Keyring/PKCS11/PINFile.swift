import CasemateModel
import Glibc

/// The file of a token's user PIN: an ordinary one that only its owner may read.
struct PINFile: Sendable {
    let path: String

    /// - Parameter source: RFC 7512 `pin-source`, decoded: an absolute path or a `file:` URI of this host (RFC 8089).
    ///   Commands (`|…`) are refused.
    init?(source: String) {
        if source.hasPrefix("/") {
            path = source
            return
        }
        guard source.hasPrefix("file:") else { return nil }
        var rest = source.dropFirst("file:".count)
        if rest.hasPrefix("//") {
            rest = rest.dropFirst(2)
            if rest.hasPrefix("localhost/") { rest = rest.dropFirst("localhost".count) }
        }
        guard rest.hasPrefix("/"), !rest.hasPrefix("//"), let path = Self.percentDecoded(rest) else { return nil }
        self.path = path
    }

    /// The PIN, without the line's end.
    /// - Throws: what to do about the file.
    func read() throws(KeyProviderError) -> PIN {
        // The descriptor is what is looked at, so that no other file takes its place in between.
        let fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard fd >= 0 else {
            if errno == ELOOP { throw fault("is a link; give the file itself") }
            throw fault("\(String(cString: strerror(errno))); it must hold the token's user PIN, be owned by the server's user, mode 0600")
        }
        defer { close(fd) }
        var found = stat()
        guard fstat(fd, &found) == 0 else { throw fault(String(cString: strerror(errno))) }
        guard found.st_mode & S_IFMT == S_IFREG else { throw fault("is not an ordinary file") }
        guard [0o600, 0o400].contains(found.st_mode & 0o7777) else {
            throw fault("must have mode 0600 or 0400, so that nobody else reads it")
        }

        var bytes = ScrubbedBytes(capacity: Self.limit + 1)
        try bytes.fill { (room) throws(KeyProviderError) in
            var count = 0
            while count < room.count {
                let got = Glibc.read(fd, room.baseAddress! + count, room.count - count)
                if got < 0, errno == EINTR { continue }
                guard got >= 0 else { throw fault(String(cString: strerror(errno))) }
                if got == 0 { break }
                count += got
            }
            return count
        }
        let count = bytes.withBytes { $0.count }
        guard count <= Self.limit else { throw fault("is longer than \(Self.limit) bytes") }
        let lineEnd = bytes.withBytes { $0.last != UInt8(ascii: "\n") ? 0 : $0.dropLast().last == UInt8(ascii: "\r") ? 2 : 1 }
        bytes.truncate(to: count - lineEnd)
        guard count > lineEnd else { throw fault("is empty; it must hold the token's user PIN") }
        return PIN(bytes, changed: found.st_mtim)
    }

    /// Of a PIN, in bytes.
    private static let limit = 4096

    private func fault(_ what: String) -> KeyProviderError { .unavailable("the PIN file \(path): \(what)") }

    private static func percentDecoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst()?.hexValue, let low = rest.popFirst()?.hexValue, high | low != 0 else { return nil }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

/// A PIN as read, overwritten when it goes.
struct PIN: ~Copyable {
    private let bytes: ScrubbedBytes
    let version: Version

    fileprivate init(_ bytes: consuming ScrubbedBytes, changed: timespec) {
        var hasher = Hasher()
        bytes.withBytes { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        version = Version(seconds: changed.tv_sec, nanoseconds: changed.tv_nsec, content: hasher.finalize())
        self.bytes = bytes
    }

    func withBytes<R>(_ body: (UnsafeMutableBufferPointer<UInt8>) -> R) -> R { bytes.withBytes(body) }

    /// Tells whether a PIN file is still as it was.
    struct Version: Equatable, Sendable {
        let seconds: Int
        let nanoseconds: Int
        /// Swift's hash, whose key is this process's own: of no use to anybody else.
        let content: Int
    }
}
