import CasemateAWS
import CasemateStore

/// A bucket that gets each checkpoint as an object of its own, which is never written over. With Object Lock not even its owner can.
public struct CheckpointBucket: CheckpointPlace {
    private let address: S3Address
    private let s3: S3

    /// - Throws: when AWS has no such region, and no endpoint is given.
    public init(_ address: S3Address, credentials: CredentialSource) throws(AWSAddressError) {
        self.address = address
        s3 = try S3(region: address.region, endpoint: address.endpoint, credentials: credentials)
    }

    public var name: String { "s3://\(address.bucket)\(address.prefix.map { "/\($0)" } ?? "")" }

    public func add(_ checkpoint: AuditCheckpoint) async throws {
        // Sorted by name they are sorted by time.
        let digits = String(checkpoint.sequence)
        let name = "\(checkpoint.chain)-\(String(repeating: "0", count: max(0, 12 - digits.count)))\(digits).json"
        guard let key = address.key(name) else { throw AWSError.malformed("the prefix is too long") }
        do {
            _ = try await s3.put(
                bucket: address.bucket, key: key, body: checkpoint.line + [10], contentType: "application/json", ifNoneMatch: "*")
        } catch AWSError.refused(_, 412) {
            // Of the attempt before, whose answer was lost; or of somebody who knew the name.
            guard try await s3.get(bucket: address.bucket, key: key).body == checkpoint.line + [10] else {
                throw AWSError.malformed("\(name) is there already, and is not ours")
            }
        }
    }
}
