/// Objects that need not fit into memory.
extension S3 {
    /// For one object there or back, with every attempt.
    public static let streamTimeout = Duration.seconds(300)

    /// Stores the beginning of a file as an object, in one request: up to 5 GiB at AWS.
    /// - Parameters:
    ///   - file: a descriptor that can be read at any offset. Where it stands does not count, and is not moved.
    ///   - sha256: of those bytes, in hexadecimal. S3 stores nothing else.
    ///   - ifNoneMatch: `*` stores it only where there is none: else `PreconditionFailed`. Unlike a body's, such a request is repeated after
    ///     a failure in which it may have been carried out: what is there then can be this very object.
    /// - Throws: `AWSError`, or `CancellationError`. Source: S3 API reference, PutObject.
    @discardableResult
    public func put(
        bucket: S3Bucket, key: S3Key, file: Int32, sizeInBytes: Int, sha256: String, contentType: String = "application/octet-stream",
        ifNoneMatch: String? = nil
    ) async throws -> ObjectInfo {
        var headers = [SignedRequest.Header.contentType: contentType]
        headers[.ifNoneMatch] = ifNoneMatch
        let body = try FileBody(descriptor: file, sizeInBytes: sizeInBytes, sha256: sha256)
        var request = try self.request(.put, bucket, key, headers: headers, file: body)
        request.timeout = Self.streamTimeout
        return ObjectInfo(try await client.send(request))
    }

    /// Hands an object to `sink` as it comes. Only when this returns was it whole.
    /// - Parameter most: a larger object is an error. In bytes.
    /// - Throws: `AWSError`: `NoSuchKey` when there is none, `.unavailable` where the sink doesn't take it. Or `CancellationError`.
    ///   Source: S3 API reference, GetObject.
    @discardableResult
    public func get(bucket: S3Bucket, key: S3Key, most: Int, into sink: any ObjectSink) async throws -> ObjectInfo {
        var request = try self.request(.get, bucket, key)
        request.mostAnswerInBytes = most
        request.sink = sink
        request.timeout = Self.streamTimeout
        return ObjectInfo(try await client.send(request))
    }
}
