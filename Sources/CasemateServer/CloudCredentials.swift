import CLinux
import CasemateAWS
import CasemateLinux
import Glibc

/// AWS credentials in the environment of `casemate up`: handed to the server in a memory file, so that they stand in no environment of its.
public enum CloudCredentials {
    /// The memory file's descriptor; nil where there are none.
    public static func handOn() throws -> Int32? {
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
        let values = names.map { getenv($0).map { String(cString: $0) } ?? "" }
        guard !values[0].isEmpty, !values[1].isEmpty else { return nil }
        let descriptor = try check(cl_memfd("aws"), "making a memory file")
        try Files.writeAll(descriptor, Array(values.joined(separator: "\n").utf8), naming: "a memory file")
        return descriptor
    }

    static func read(_ descriptor: Int32) throws -> AWSCredentials {
        defer { close(descriptor) }
        lseek(descriptor, 0, SEEK_SET)
        let lines = try Files.read(descriptor, limit: 1 << 16, naming: "the credentials").split(
            separator: 10, omittingEmptySubsequences: false)
        guard lines.count == 3 else { throw SystemError("reading the credentials", errno: EINVAL) }
        return try AWSCredentials(
            accessKey: Array(lines[0]), secretKey: Array(lines[1]), sessionToken: lines[2].isEmpty ? nil : Array(lines[2]))
    }
}

extension ServerSettings {
    /// What the server shows to AWS.
    /// - Parameter descriptor: what `CloudCredentials.handOn` answered.
    public func awsSource(handedOn descriptor: Int32?) throws -> CredentialSource {
        if let awsCredentials { return .file(awsCredentials, profile: awsProfile) }
        guard let descriptor else {
            return CredentialSource { () throws(CredentialError) in try AWSCredentials(environment: [:]) }
        }
        return .fixed(try CloudCredentials.read(descriptor))
    }
}
