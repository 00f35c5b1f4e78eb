import Foundation

/// Operations of a service that speaks AWS JSON 1.1: a POST to `/` with the operation in `X-Amz-Target`.
struct JSONService: Sendable {
    private let client: AWSClient
    /// The service's name in the signature and in AWS's hosts.
    private let name: String
    /// What the operation's name follows in the header.
    private let prefix: String

    init(
        _ name: String, prefix: String, region: Region, endpoint: Endpoint?, credentials: CredentialSource, transport: CurlTransport,
        timeout: Duration
    ) throws(AWSAddressError) {
        self.name = name
        self.prefix = prefix
        let host: Endpoint
        if let endpoint { host = endpoint } else { host = try .aws(name, in: region) }
        client = AWSClient(region: region, endpoint: host, credentials: credentials, transport: transport, timeout: timeout)
    }

    /// The request's and the answer's JSON are overwritten afterwards. Not what JSONEncoder and JSONDecoder keep meanwhile: the strings
    /// and buffers they make go back to the allocator as they are.
    func call<Output: Decodable>(_ operation: String, _ input: some Encodable, as output: Output.Type) async throws -> Output {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard var json = try? encoder.encode(input) else { throw AWSError.malformed("\(operation): what is asked is no JSON") }
        let body = SensitiveBytes(json)
        json.wipe()
        let request = try SignedRequest(
            .post, client.endpoint, headers: [.contentType: "application/x-amz-json-1.1", .target: "\(prefix).\(operation)"], body: body,
            region: client.region, service: name)
        let answer = try await client.send(request)
        // The decoder's error would quote the answer.
        guard let decoded = answer.body.withData({ try? JSONDecoder().decode(output, from: $0) }) else {
            throw AWSError.malformed("\(client.endpoint): the answer to \(operation) is not what its API says")
        }
        return decoded
    }
}
