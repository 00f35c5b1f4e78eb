import CasemateAWS
import CasemateLinux
import CasemateStore

/// Archives as objects beneath a prefix of a bucket: `PREFIX/sha256/DIGEST`, and `PREFIX/owner` with the identity of their server. A key needs
/// GetObject, PutObject and DeleteObject on `PREFIX/*`, and nothing else.
public struct ArtifactObjects: ArtifactBucket {
    /// Where that is: another endpoint, bucket or prefix is another place.
    public let place: String
    private let address: S3Address
    private let s3: S3

    /// - Parameter endpoint: where the address names none; nil for AWS's own.
    /// - Throws: when AWS has no such region, and there is no endpoint.
    public init(_ address: S3Address, endpoint: Endpoint?, credentials: CredentialSource) throws(AWSAddressError) {
        self.address = address
        place = "\((address.endpoint ?? endpoint).map(\.description) ?? "aws") \(address.bucket)/\(address.prefix?.text ?? "")"
        s3 = try S3(region: address.region, endpoint: address.endpoint ?? endpoint, credentials: credentials)
    }

    /// Whether there is a prefix, and not too long a one.
    public static func mayLie(in address: S3Address) -> Bool {
        address.prefix != nil && address.key("sha256/" + String(repeating: "0", count: 64)) != nil
    }

    public func claim(for owner: String) async throws(ArtifactBucketError) -> String {
        let key = try object("owner")
        for _ in 1...3 {
            do {
                _ = try await s3.put(
                    bucket: address.bucket, key: key, body: Array("\(owner)\n".utf8), contentType: "text/plain", ifNoneMatch: "*")
                return owner
            } catch AWSError.refused(_, 412) {
                // There is one already.
            } catch AWSError.refused(_, 409) {
                continue
            } catch { throw Self.failure(error) }
            do {
                let found = try await s3.get(bucket: address.bucket, key: key, most: 4096).body
                return String(decoding: found.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
            } catch AWSError.refused(let code, 403) {
                throw .refused(
                    "artifacts: the object owner beneath the prefix is there and can't be read (\(code)): the key needs s3:GetObject, s3:PutObject and s3:DeleteObject on PREFIX/*"
                )
            } catch AWSError.refused(_, 404) {
                continue
            } catch { throw Self.failure(error) }
        }
        throw .unavailable("the object owner comes and goes")
    }

    public func put(_ digest: String, from file: Descriptor, sizeInBytes: Int, replacing: Bool) async throws(ArtifactBucketError) -> Bool {
        let key = try object("sha256/\(digest)")
        defer { file.staysOpen() }
        for _ in 1...3 {
            do {
                try await s3.put(
                    bucket: address.bucket, key: key, file: file.raw, sizeInBytes: sizeInBytes, sha256: digest,
                    ifNoneMatch: replacing ? nil : "*")
                return true
            } catch AWSError.refused(_, 412) where !replacing {
                return false
            } catch AWSError.refused(_, 409) {
                // Somebody else stores or removes it at this moment.
                continue
            } catch { throw Self.failure(error) }
        }
        throw .unavailable("an object is changed by somebody else again and again")
    }

    public func get(_ digest: String, into sink: ArtifactSink) async throws(ArtifactBucketError) {
        let key = try object("sha256/\(digest)")
        do {
            try await s3.get(bucket: address.bucket, key: key, most: .max, into: Arriving(sink: sink))
        } catch AWSError.refused(let code, 404) where code != "NoSuchBucket" {
            throw .missing
        } catch { throw Self.failure(error) }
    }

    public func remove(_ digest: String) async throws(ArtifactBucketError) {
        let key = try object("sha256/\(digest)")
        do { try await s3.delete(bucket: address.bucket, key: key) } catch { throw Self.failure(error) }
    }

    private func object(_ name: String) throws(ArtifactBucketError) -> S3Key {
        guard let key = address.key(name) else { throw .unavailable("the prefix is too long") }
        return key
    }

    /// What is refused is as good as out of reach: rights may be given back. Without ListBucket S3 answers 403 for what is not there, too.
    private static func failure(_ error: any Error) -> ArtifactBucketError { .unavailable("\(error)") }
}

/// The sink knows itself how much it takes.
private struct Arriving: ObjectSink {
    let sink: ArtifactSink

    func begin() -> Bool { sink.begin() }

    func append(_ bytes: UnsafeRawBufferPointer) -> Bool { sink.append(bytes) }
}
