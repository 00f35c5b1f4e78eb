import CLinux
import CasemateLinux
import CasemateModel
import CasemateVault
import Glibc

/// The credentials that a service manager hands to a service in a folder of files (systemd.exec(5), `LoadCredential=`). They are root's: `up`
/// reads them, and hands them to the server in a memory file, which lies on no disk.
public enum ServiceCredentials {
    private static let most = 256

    /// The memory file's descriptor; nil without the folder.
    /// - Throws: for what can't be read, so that nobody finds out at the first call.
    public static func handOn() throws -> Int32? {
        guard let folder = getenv("CREDENTIALS_DIRECTORY").map({ String(cString: $0) }) else { return nil }
        let names = Files.names(in: folder).filter { $0 != "." && $0 != ".." }
        guard names.count <= most else { throw SystemError("reading the credentials of \(folder)", errno: E2BIG) }
        let descriptor = try check(cl_memfd("credentials"), "making a memory file")
        for name in names {
            var bytes = try Files.read("\(folder)/\(name)", limit: Secret.maximumLength)
            defer { bytes.withUnsafeMutableBytes { if let start = $0.baseAddress { explicit_bzero(start, $0.count) } } }
            // Each: its name, NUL, the length in decimal, NUL, the value.
            try Files.writeAll(descriptor, Array(name.utf8) + [0] + Array("\(bytes.count)".utf8) + [0] + bytes, naming: "a memory file")
        }
        return descriptor
    }

    /// What `handOn` wrote.
    static func read(_ descriptor: Int32) throws -> [String: Secret] {
        defer { close(descriptor) }
        lseek(descriptor, 0, SEEK_SET)
        var bytes = try Files.read(descriptor, limit: most * (Secret.maximumLength + 1024), naming: "the credentials")
        defer { bytes.withUnsafeMutableBytes { if let start = $0.baseAddress { explicit_bzero(start, $0.count) } } }
        var found: [String: Secret] = [:]
        var rest = bytes[...]
        while let nameEnd = rest.firstIndex(of: 0), let lengthEnd = rest[(nameEnd + 1)...].firstIndex(of: 0),
            let length = Int(String(decoding: rest[(nameEnd + 1)..<lengthEnd], as: UTF8.self)), rest.endIndex - lengthEnd - 1 >= length
        {
            let value = rest[(lengthEnd + 1)..<(lengthEnd + 1 + length)]
            found[String(decoding: rest[..<nameEnd], as: UTF8.self)] = Secret(FileSource.withoutLineEnd(Array(value)))
            rest = rest[(lengthEnd + 1 + length)...]
        }
        return found
    }
}

extension ServeEnvironment {
    func takeCredentials() throws -> [String: Secret]? { try credentials.map { try ServiceCredentials.read($0) } }
}
