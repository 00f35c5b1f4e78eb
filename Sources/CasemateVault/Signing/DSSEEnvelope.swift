import Foundation

/// Bytes of a stated type with signatures over both (Dead Simple Signing Envelope v1.0).
public struct DSSEEnvelope: Codable, Sendable {
    public struct Signature: Codable, Sendable {
        public var keyid: String
        /// Base64.
        public var sig: String
    }

    public var payloadType: String
    /// Base64.
    public var payload: String
    public var signatures: [Signature]

    public init(payloadType: String, payload: [UInt8], keyId: String, signature: [UInt8]) {
        self.payloadType = payloadType
        self.payload = Data(payload).base64EncodedString()
        signatures = [Signature(keyid: keyId, sig: Data(signature).base64EncodedString())]
    }

    /// The bytes that are signed: the pre-authentication encoding.
    public static func signedBytes(_ payload: [UInt8], type: String) -> [UInt8] {
        Array("DSSEv1 \(type.utf8.count) \(type) \(payload.count) ".utf8) + payload
    }

    /// One spelling of it, JSON.
    public var bytes: [UInt8] {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return [UInt8](try encoder.encode(self))
        }
    }
}
