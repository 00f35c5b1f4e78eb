/// Amazon S3, or a server that speaks its protocol: objects.
public struct S3: Sendable {
    /// What is known of an object beside its bytes.
    public struct ObjectInfo: Hashable, Sendable {
        /// With its quotes, as in If-None-Match; nil when the server names none.
        public let etag: String?
        public let contentType: String?
        public let sizeInBytes: Int?

        init(_ answer: Answer) {
            etag = answer.headers[.etag]
            contentType = answer.headers[.contentType]
            sizeInBytes = answer.headers[.contentLength].flatMap { Int($0) }
        }
    }

    let client: AWSClient

    /// - Parameter endpoint: nil for AWS's own. Any other is asked with the bucket in the path.
    /// - Parameter timeout: for a whole call, with every attempt and the bodies.
    /// - Throws: when AWS has no such region and there is no endpoint.
    public init(
        region: Region, endpoint: Endpoint? = nil, credentials: CredentialSource, transport: CurlTransport = CurlTransport(),
        timeout: Duration = .seconds(10)
    ) throws(AWSAddressError) {
        let host: Endpoint
        if let endpoint { host = endpoint } else { host = try .aws("s3", in: region) }
        client = AWSClient(region: region, endpoint: host, credentials: credentials, transport: transport, timeout: timeout)
    }

    /// Stores an object, in one request: up to 5 GiB at AWS, in memory here.
    /// - Parameter ifNoneMatch: `*` stores it only where there is none: else `PreconditionFailed`. Such a request is not repeated after a
    ///   failure in which it may have been carried out.
    /// - Throws: `AWSError`, or `CancellationError`. Source: S3 API reference, PutObject.
    @discardableResult
    public func put(
        bucket: S3Bucket, key: S3Key, body: [UInt8], contentType: String = "application/octet-stream", ifNoneMatch: String? = nil
    ) async throws -> ObjectInfo {
        var headers = [SignedRequest.Header.contentType: contentType]
        headers[.ifNoneMatch] = ifNoneMatch
        var request = try self.request(.put, bucket, key, headers: headers, body: SensitiveBytes(body))
        request.mayBeRepeated = ifNoneMatch == nil
        return ObjectInfo(try await client.send(request))
    }

    /// - Parameter most: a larger object is an error. In bytes.
    /// - Throws: `AWSError`: `NoSuchKey` when there is none. Or `CancellationError`. Source: S3 API reference, GetObject.
    public func get(bucket: S3Bucket, key: S3Key, most: Int = 16 << 20) async throws -> (body: [UInt8], info: ObjectInfo) {
        var request = try self.request(.get, bucket, key)
        request.mostAnswerInBytes = most
        let answer = try await client.send(request)
        return (answer.body.withBytes { Array($0) }, ObjectInfo(answer))
    }

    /// What is not there is as good as deleted.
    /// - Throws: `AWSError`, or `CancellationError`. Source: S3 API reference, DeleteObject.
    public func delete(bucket: S3Bucket, key: S3Key) async throws {
        _ = try await client.send(try request(.delete, bucket, key))
    }

    /// - Throws: `AWSError`: `HTTP404` when there is none, for the answer has no body that could say more. Or `CancellationError`.
    ///   Source: S3 API reference, HeadObject.
    public func head(bucket: S3Bucket, key: S3Key) async throws -> ObjectInfo {
        ObjectInfo(try await client.send(try request(.head, bucket, key)))
    }

    /// At AWS the bucket is a label of the host, unless its name has dots; elsewhere it is the path's first segment.
    func request(
        _ method: SignedRequest.Method, _ bucket: S3Bucket, _ key: S3Key?, query: [String: String] = [:],
        headers: [SignedRequest.Header: String] = [:], body: SensitiveBytes? = nil, file: FileBody? = nil
    ) throws(AWSError) -> SignedRequest {
        let isInHost = client.endpoint.isAWS && bucket.isHostLabel
        var headers = headers
        headers[.contentSHA256] = file?.sha256 ?? PayloadHash.of(body)
        var request = try SignedRequest(
            method, isInHost ? client.endpoint.prefixed(by: bucket.name) : client.endpoint,
            path: (isInHost ? "/" : "/\(bucket)" + (key == nil ? "" : "/")) + (key?.text ?? ""),
            query: query, headers: headers, body: body, region: client.region, service: "s3")
        request.file = file
        return request
    }
}
