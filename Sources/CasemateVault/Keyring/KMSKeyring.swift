import CasemateAWS
import CasemateModel

/// A key-encryption key in AWS KMS: every data key is wrapped there, and each unwrapping stands in CloudTrail with the function's id.
///
/// KMS makes and keeps its keys itself. To rotate, point the alias that is set here to another key: data keys are wrapped by that from then
/// on, and the old key is disabled there once nothing is left of it.
public struct KMSKeyring: KeyProvider {
    public let scheme = "aws-kms"
    public let place: String
    private let address: KMSAddress
    private let kms: KMS

    /// - Throws: when AWS has no such region, and no endpoint is given.
    public init(_ address: KMSAddress, credentials: CredentialSource) throws(AWSAddressError) {
        self.address = address
        place = "\(address.region)/\(address.keyId)"
        kms = try KMS(region: address.region, endpoint: address.endpoint, credentials: credentials)
    }

    public func activeKey() async throws(KeyProviderError) -> String {
        do {
            let key = try await kms.describeKey(address.keyId)
            guard key.isEnabled else { throw KeyProviderError.unavailable("the KMS key \(place) is \(key.state)") }
            return "\(scheme):\(key.arn)"
        } catch { throw Self.failure(error) }
    }

    public func wrap(_ key: [UInt8], context: [UInt8]) async throws(KeyProviderError) -> WrappedKey {
        do {
            let wrapped = try await kms.encrypt(keyId: address.keyId, plaintext: key, context: Self.encryptionContext(context))
            return WrappedKey(keyId: "\(scheme):\(wrapped.keyId)", bytes: wrapped.ciphertext)
        } catch { throw Self.failure(error) }
    }

    public func unwrap(_ wrapped: WrappedKey, context: [UInt8]) async throws(KeyProviderError) -> [UInt8] {
        do {
            let arn = String(wrapped.keyId.dropFirst(scheme.count + 1))
            return try await kms.decrypt(ciphertext: wrapped.bytes, context: Self.encryptionContext(context), keyId: arn).plaintext
        } catch { throw Self.failure(error) }
    }

    public func rotate() async throws(KeyProviderError) -> String { try await activeKey() }

    /// Keys are KMS's to delete, after a waiting time that their owner sets.
    public func destroy(allBut kept: Set<String>) async throws(KeyProviderError) -> Int? { nil }

    /// As CloudTrail shows it.
    private static func encryptionContext(_ context: [UInt8]) -> [String: String] {
        ["casemate": String(decoding: context.map { $0 == 0 ? UInt8(ascii: "/") : $0 }, as: UTF8.self)]
    }

    private static func failure(_ error: any Error) -> KeyProviderError {
        switch error {
        case let error as KeyProviderError: error
        case AWSError.refused("InvalidCiphertextException", _), AWSError.refused("IncorrectKeyException", _): .wrongKey
        case AWSError.refused(let code, _):
            .unavailable("AWS KMS refused: \(code); does the server's credential have Encrypt, Decrypt and DescribeKey on the key?")
        default: .unavailable("AWS KMS: \(error)")
        }
    }
}
