import CLinux
import CasemateLinux
import CasemateModel
import Glibc

/// Values in files below one folder, one file each: as Kubernetes and Docker mount them. A link must lead to a place within the folder that it
/// stands in: a policy names files by their path, and no link leads from one that it allows to one that it does not.
public struct FileSource: SecretSource {
    public let scheme = "file"
    private let folder: String

    public init(folder: String) { self.folder = folder }

    public func value(of secret: ExternalSecret) async throws(SecretSourceError) -> Secret {
        let root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard root >= 0 else { throw .unavailable("the folder that --secret-files names is not there") }
        defer { close(root) }
        guard secret.query == nil else { throw .missing("\(secret) has a ?, which means nothing for a file") }
        let parts = secret.path.split(separator: "/")
        var folder = root
        if parts.count > 1 {
            folder = cl_open_beneath(root, parts.dropLast().joined(separator: "/"), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
            guard folder >= 0 else { throw .missing("there is no folder for \(secret) that the server may read") }
        }
        defer { if folder != root { close(folder) } }
        let fd = cl_open_within(folder, String(parts.last ?? ""), O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard fd >= 0 else { throw .missing("there is no file for \(secret) that the server may read") }
        defer { close(fd) }
        var found = stat()
        guard fstat(fd, &found) == 0, found.st_mode & S_IFMT == S_IFREG else { throw .missing("\(secret) is no ordinary file") }
        guard var bytes = try? Files.read(fd, limit: Secret.maximumLength + 1, naming: "a secret") else {
            throw .missing("the file for \(secret) is too long, or can't be read")
        }
        defer { bytes.withUnsafeMutableBytes { if let start = $0.baseAddress { explicit_bzero(start, $0.count) } } }
        return Secret(Self.withoutLineEnd(bytes))
    }

    /// As `casemate secret set` takes what is piped to it: one line feed at the end of a single line is the editor's.
    public static func withoutLineEnd(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
        bytes.last == 10 && bytes.dropLast().firstIndex(of: 10) == nil ? bytes.dropLast() : bytes[...]
    }
}

/// Values that the service manager handed to `casemate up` (systemd's LoadCredential=, SetCredentialEncrypted=), read once at the start.
public struct ServiceCredentialSource: SecretSource {
    public let scheme = "credential"
    private let values: [String: Secret]

    public init(_ values: [String: Secret]) { self.values = values }

    public func value(of secret: ExternalSecret) async throws(SecretSourceError) -> Secret {
        guard let value = values[secret.path] else { throw .missing("the service manager gave no credential \(secret.path)") }
        return value
    }
}
