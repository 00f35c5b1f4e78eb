import CasemateLinux

/// Where archives are kept besides this machine: objects by their digests. What a server has there it knows by itself, so that nobody has to
/// be allowed to list them.
public protocol ArtifactBucket: Sendable {
    /// Puts down whose place this is, where nobody has yet: two servers in one place would remove each other's archives.
    /// - Returns: the owner's identity.
    /// - Throws: `.refused` where that is not told.
    func claim(for owner: String) async throws(ArtifactBucketError) -> String

    /// Stores the beginning of a file, whose SHA-256 is `digest`.
    /// - Parameter replacing: whether what is there is written over.
    /// - Returns: whether it was stored; false where one is there already.
    func put(_ digest: String, from file: Descriptor, sizeInBytes: Int, replacing: Bool) async throws(ArtifactBucketError) -> Bool

    /// Hands over what is there as it comes. Only when this returns was it whole.
    /// - Throws: `.missing` where nothing is.
    func get(_ digest: String, into sink: ArtifactSink) async throws(ArtifactBucketError)

    /// What is not there is as good as removed.
    func remove(_ digest: String) async throws(ArtifactBucketError)
}

/// Why a bucket did not do what it was asked. For the server's log: it may say where the bucket is.
public enum ArtifactBucketError: Error, Equatable, CustomStringConvertible {
    case missing
    /// Later it may work.
    case unavailable(String)
    /// It says no for good, and what has to be done about it.
    case refused(String)
    /// Another server's.
    case taken

    public var description: String {
        switch self {
        case .missing: "there is no such object"
        case .unavailable(let why), .refused(let why): why
        case .taken:
            "artifacts: another server keeps its archives there (the object owner beneath the prefix says so); give this one a prefix of its own"
        }
    }
}
