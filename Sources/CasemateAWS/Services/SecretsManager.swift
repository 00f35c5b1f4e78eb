import Foundation

/// AWS Secrets Manager: reads values.
public struct SecretsManager: Sendable {
    private let service: JSONService

    /// - Parameter endpoint: nil for AWS's own.
    /// - Parameter timeout: for a whole call, with every attempt.
    /// - Throws: when AWS has no such region and there is no endpoint.
    public init(
        region: Region, endpoint: Endpoint? = nil, credentials: CredentialSource, transport: CurlTransport = CurlTransport(),
        timeout: Duration = .seconds(10)
    ) throws(AWSAddressError) {
        service = try JSONService(
            "secretsmanager", prefix: "secretsmanager", region: region, endpoint: endpoint, credentials: credentials,
            transport: transport, timeout: timeout)
    }

    /// A version's value: text as UTF-8, or the bytes of a binary one, 65536 at most.
    /// - Parameter id: a name, or an ARN.
    /// - Parameter versionStage: nil for `AWSCURRENT`.
    /// - Parameter field: takes this field of a value that is a JSON object. It may hold text, a whole number, true or false.
    /// - Returns: the value, which is the caller's to overwrite.
    /// - Throws: `AWSError`, or `CancellationError`. Source: Secrets Manager API reference, GetSecretValue.
    public func value(id: String, versionStage: String? = nil, field: String? = nil) async throws -> [UInt8] {
        struct Input: Encodable {
            let SecretId: String
            let VersionStage: String?
        }
        struct Output: Decodable {
            let SecretString: String?
            var SecretBinary: Data?
        }
        var output = try await service.call("GetSecretValue", Input(SecretId: id, VersionStage: versionStage), as: Output.self)
        defer { output.SecretBinary?.wipe() }
        // The string is Swift's and can't be overwritten.
        guard var value = output.SecretString.map({ Array($0.utf8) }) ?? output.SecretBinary.map({ Array($0) }) else {
            throw AWSError.malformed("Secrets Manager answered neither text nor bytes")
        }
        guard let field else { return value }
        defer { value.wipe() }
        return try Self.field(field, of: value)
    }

    /// The value that an address names.
    public func value(at address: SecretAddress) async throws -> [UInt8] {
        try await value(id: address.secretId, versionStage: address.versionStage, field: address.field)
    }

    private static func field(_ name: String, of value: [UInt8]) throws(AWSError) -> [UInt8] {
        guard let object = SensitiveBytes(value).withData({ try? JSONDecoder().decode([String: Scalar].self, from: $0) }) else {
            throw .malformed("the secret is no JSON object, so it has no fields")
        }
        switch object[name] {
        case .text(let text): return Array(text.utf8)
        case .other: throw .malformed("that field of the secret is no text, whole number, true or false")
        case nil: throw .malformed("the secret has no field of that name")
        }
    }

    /// A field's value as text. Fractions and very large numbers are not taken: their spelling would be Swift's, not the secret's.
    private enum Scalar: Decodable {
        case text(String), other

        init(from decoder: any Decoder) throws {
            guard let container = try? decoder.singleValueContainer() else {
                self = .other
                return
            }
            if let text = try? container.decode(String.self) {
                self = .text(text)
            } else if let bool = try? container.decode(Bool.self) {
                self = .text(bool ? "true" : "false")
            } else if let number = try? container.decode(Int64.self) {
                self = .text(String(number))
            } else {
                self = .other
            }
        }
    }
}
