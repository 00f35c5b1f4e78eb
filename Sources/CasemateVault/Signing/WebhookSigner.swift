import CasemateLinux
import CasemateModel
import Crypto
import Foundation

/// Signs what is sent to webhooks, as the Standard Webhooks specification has it: each receiver has a key of its own, made from the server's
/// by HMAC-SHA-256, so that none is stored.
public struct WebhookSigner: Sendable {
    private let key: SymmetricKey

    /// Reads the key, or makes one where there is none.
    public init(path: String) throws {
        if !Files.exists(path) { try SymmetricKey(size: .bits256).withUnsafeBytes { try KeyFile.create(path, bytes: Array($0)) } }
        let bytes = try KeyFile.read(path)
        guard bytes.count == 32 else { throw KeyFileError.wrongSize(path) }
        key = SymmetricKey(data: bytes)
    }

    /// `whsec_…`: what the receiver checks signatures with.
    public func secret(of alert: AlertId) -> String { "whsec_" + Data(bytes(of: alert)).base64EncodedString() }

    /// The field `webhook-signature` for a message.
    /// - Parameters:
    ///   - id: of the message, without a full stop.
    ///   - time: in seconds since 1970.
    public func signature(of alert: AlertId, id: String, time: Int64, body: [UInt8]) -> String {
        let code = HMAC<SHA256>.authenticationCode(
            for: Array("\(id).\(time).".utf8) + body, using: SymmetricKey(data: bytes(of: alert)))
        return "v1," + Data(code).base64EncodedString()
    }

    private func bytes(of alert: AlertId) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array("casemate/webhook/1\0\(alert)".utf8), using: key))
    }
}
