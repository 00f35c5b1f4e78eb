import Crypto
import Foundation

/// A signature that `ssh-keygen -Y sign` made. Source: OpenSSH's PROTOCOL.sshsig.
public struct SSHSignature: Sendable {
    /// The key that it claims to be of.
    public let key: SSHPublicKey
    /// What it was made for.
    public let namespace: String
    private let hash: Hash
    private let signature: [UInt8]

    private enum Hash: String { case sha256, sha512 }

    private static let magic = Array("SSHSIG".utf8)
    private static let largest = 16_384

    /// - Parameter armored: from `-----BEGIN SSH SIGNATURE-----` to `-----END SSH SIGNATURE-----`.
    /// - Returns: nil for what is none, or is of a kind of key that is not taken.
    public init?(armored: String) {
        guard armored.utf8.count <= Self.largest else { return nil }
        let lines = armored.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        guard lines.count >= 3, lines.first == "-----BEGIN SSH SIGNATURE-----", lines.last == "-----END SSH SIGNATURE-----",
            let data = Data(base64Encoded: lines.dropFirst().dropLast().joined())
        else { return nil }
        var reader = SSHReader(data)
        guard reader.bytes(Self.magic.count) == Self.magic, reader.uint32() == 1,
            let key = reader.string().flatMap(SSHPublicKey.init(blob:)),
            let namespace = reader.text(), reader.string() != nil, let hash = reader.text().flatMap(Hash.init(rawValue:)),
            let signature = reader.string(), reader.isAtEnd
        else { return nil }
        self.key = key
        self.namespace = namespace
        self.hash = hash
        self.signature = signature
    }

    /// Whether `key` signed `message` for `namespace`.
    public func isValid(over message: [UInt8], namespace: String) -> Bool {
        guard self.namespace == namespace else { return false }
        let digest =
            switch hash {
            case .sha256: Array(SHA256.hash(data: message))
            case .sha512: Array(SHA512.hash(data: message))
            }
        let parts = [Array(namespace.utf8), [], Array(hash.rawValue.utf8), digest]
        return key.isValid(signature, over: Self.magic + parts.flatMap { SSHReader.encode($0) })
    }
}
