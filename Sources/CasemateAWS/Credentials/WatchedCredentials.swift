import Glibc
import Synchronization

/// The credentials in a file as it is now, kept until the file's identity changes.
final class WatchedCredentials: Sendable {
    /// What tells one state of a file from another. A change within one tick of the kernel's clock (4 ms at most) that keeps the size is
    /// not seen; replacing the file by rename always is.
    private struct Identity: Equatable {
        let device: UInt
        let inode: UInt
        let size: Int
        let modified: [Int]

        init(_ found: stat) {
            device = UInt(found.st_dev)
            inode = UInt(found.st_ino)
            size = Int(found.st_size)
            modified = [found.st_mtim.tv_sec, found.st_mtim.tv_nsec, found.st_ctim.tv_sec, found.st_ctim.tv_nsec]
        }
    }

    private let path: String
    private let profile: String
    private let kept = Mutex<(identity: Identity, credentials: AWSCredentials)?>(nil)

    init(path: String, profile: String) {
        self.path = path
        self.profile = profile
    }

    /// Links are followed: Kubernetes mounts secrets as links, and replaces those.
    /// - Throws: also when the file was good before. Old credentials don't outlive the file that held them.
    func current() throws(CredentialError) -> AWSCredentials {
        // withLock rethrows without a type.
        let result = kept.withLock { kept -> Result<AWSCredentials, CredentialError> in
            var found = stat()
            if stat(path, &found) == 0, let kept, kept.identity == Identity(found) { return .success(kept.credentials) }
            do throws(CredentialError) {
                let (identity, credentials) = try read()
                kept = (identity, credentials)
                return .success(credentials)
            } catch {
                kept = nil
                return .failure(error)
            }
        }
        return try result.get()
    }

    private func read() throws(CredentialError) -> (Identity, AWSCredentials) {
        // O_NONBLOCK: a FIFO in its place must not hold us.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw systemError() }
        defer { close(descriptor) }
        var found = stat()
        guard fstat(descriptor, &found) == 0 else { throw systemError() }
        guard found.st_mode & S_IFMT == S_IFREG, found.st_mode & 0o007 == 0 else { throw .readableByOthers(path) }
        var bytes = [UInt8](repeating: 0, count: CredentialsFile.longest + 1)
        defer { bytes.wipe() }
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + count, $0.count - count) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw systemError() }
            if got == 0 { break }
            count += got
        }
        guard count < bytes.count else { throw .tooLarge }
        var text = Array(bytes[..<count])
        defer { text.wipe() }
        let credentials = try CredentialsFile.credentials(in: text, profile: profile)
        var after = stat()
        guard fstat(descriptor, &after) == 0, Identity(after) == Identity(found) else {
            throw .unreadable(path, "it changed while it was read")
        }
        return (Identity(found), credentials)
    }

    private func systemError() -> CredentialError { .unreadable(path, String(cString: strerror(errno))) }
}
