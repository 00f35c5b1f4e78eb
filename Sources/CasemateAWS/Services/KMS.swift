import Foundation

/// AWS Key Management Service: wraps and unwraps small values with a key that never leaves it.
public struct KMS: Sendable {
    private let service: JSONService

    /// - Parameter endpoint: nil for AWS's own.
    /// - Parameter timeout: for a whole call, with every attempt.
    /// - Throws: when AWS has no such region and there is no endpoint.
    public init(
        region: Region, endpoint: Endpoint? = nil, credentials: CredentialSource, transport: CurlTransport = CurlTransport(),
        timeout: Duration = .seconds(10)
    ) throws(AWSAddressError) {
        service = try JSONService(
            "kms", prefix: "TrentService", region: region, endpoint: endpoint, credentials: credentials, transport: transport,
            timeout: timeout)
    }

    /// Encrypts 1 to 4096 bytes.
    /// - Parameter keyId: a key's id, `alias/NAME`, or the ARN of either.
    /// - Parameter context: authenticated with the value, and written to CloudTrail: not for secrets. Needed again to decrypt.
    /// - Returns: the ciphertext, which names its key, and that key's ARN, also where an alias was given.
    /// - Throws: `AWSError`, or `CancellationError`. Source: KMS API reference, Encrypt.
    public func encrypt(keyId: String, plaintext: [UInt8], context: [String: String] = [:]) async throws -> (
        ciphertext: [UInt8], keyId: String
    ) {
        struct Input: Encodable {
            let KeyId: String
            let Plaintext: Data
            let EncryptionContext: [String: String]?
        }
        struct Output: Decodable {
            let CiphertextBlob: Data
            let KeyId: String
        }
        var data = Data(plaintext)
        defer { data.wipe() }
        let input = Input(KeyId: keyId, Plaintext: data, EncryptionContext: context.isEmpty ? nil : context)
        let output = try await service.call("Encrypt", input, as: Output.self)
        guard !output.CiphertextBlob.isEmpty else { throw AWSError.malformed("KMS answered an empty ciphertext") }
        return (Array(output.CiphertextBlob), try arn(output.KeyId))
    }

    /// - Parameter keyId: give it, and KMS refuses what another key encrypted (`IncorrectKeyException`).
    /// - Returns: the value, which is the caller's to overwrite, and the ARN of the key.
    /// - Throws: `AWSError`: `InvalidCiphertextException` also for a context other than it was encrypted with. Or `CancellationError`.
    ///   Source: KMS API reference, Decrypt.
    public func decrypt(ciphertext: [UInt8], context: [String: String] = [:], keyId: String? = nil) async throws -> (
        plaintext: [UInt8], keyId: String
    ) {
        struct Input: Encodable {
            let CiphertextBlob: Data
            let EncryptionContext: [String: String]?
            let KeyId: String?
        }
        struct Output: Decodable {
            var Plaintext: Data
            let KeyId: String
        }
        let input = Input(CiphertextBlob: Data(ciphertext), EncryptionContext: context.isEmpty ? nil : context, KeyId: keyId)
        var output = try await service.call("Decrypt", input, as: Output.self)
        defer { output.Plaintext.wipe() }
        let used = try arn(output.KeyId)
        // KMS keeps this itself; servers that stand in for it may not.
        if let keyId, keyId.hasPrefix("arn:"), keyId.contains(":key/"), keyId != used {
            throw AWSError.malformed("KMS decrypted with another key than was asked for")
        }
        return (Array(output.Plaintext), used)
    }

    /// Signs with an asymmetric key.
    /// - Parameters:
    ///   - message: 4096 bytes at most, or its digest.
    ///   - algorithm: such as `ECDSA_SHA_256`.
    /// - Returns: the signature, for ECDSA in DER (X9.62).
    /// - Throws: `AWSError`, or `CancellationError`. Source: KMS API reference, Sign.
    public func sign(keyId: String, message: [UInt8], isDigest: Bool, algorithm: String) async throws -> [UInt8] {
        struct Input: Encodable {
            let KeyId: String
            let Message: Data
            let MessageType: String
            let SigningAlgorithm: String
        }
        struct Output: Decodable { let Signature: Data }
        let input = Input(
            KeyId: keyId, Message: Data(message), MessageType: isDigest ? "DIGEST" : "RAW", SigningAlgorithm: algorithm)
        let signature = try await service.call("Sign", input, as: Output.self).Signature
        guard !signature.isEmpty else { throw AWSError.malformed("KMS answered an empty signature") }
        return Array(signature)
    }

    /// - Returns: an asymmetric key's public half (SubjectPublicKeyInfo, DER), and what it may sign with.
    /// - Throws: `AWSError`, or `CancellationError`. Source: KMS API reference, GetPublicKey.
    public func publicKey(_ keyId: String) async throws -> (der: [UInt8], algorithms: [String]) {
        struct Input: Encodable { let KeyId: String }
        struct Output: Decodable {
            let PublicKey: Data
            let SigningAlgorithms: [String]?
        }
        let output = try await service.call("GetPublicKey", Input(KeyId: keyId), as: Output.self)
        return (Array(output.PublicKey), output.SigningAlgorithms ?? [])
    }

    /// - Returns: the key's ARN, whether it can be used, and KMS's word for its state, such as `PendingDeletion`.
    /// - Throws: `AWSError`, or `CancellationError`. Source: KMS API reference, DescribeKey.
    public func describeKey(_ keyId: String) async throws -> (arn: String, isEnabled: Bool, state: String) {
        struct Input: Encodable { let KeyId: String }
        struct Output: Decodable {
            struct Metadata: Decodable {
                let Arn: String
                let Enabled: Bool
                let KeyState: String
            }
            let KeyMetadata: Metadata
        }
        let found = try await service.call("DescribeKey", Input(KeyId: keyId), as: Output.self).KeyMetadata
        guard found.KeyState.isMade(of: "", atMost: 64) else { throw AWSError.malformed("KMS answered a key's state that is no word") }
        return (try arn(found.Arn), found.Enabled, found.KeyState)
    }

    /// It will be stored and logged, so it must look like one.
    private func arn(_ text: String) throws(AWSError) -> String {
        guard ARN(Substring(text), service: "kms") != nil, text.isMade(of: ":/_-", atMost: 2048) else {
            throw .malformed("KMS answered a key's name that is no ARN")
        }
        return text
    }
}
