import CasemateLinux
import Foundation

/// The public halves of all keys that ever signed revisions here: what they signed stays valid. Keys are added, and never taken away.
public struct SigningKeyList: Sendable {
    public let keys: [VerifyingKey]

    private static let most = 100

    /// Reads the list, and adds `key` where it is not there.
    /// - Throws: `SystemError`; `KeyFileError` for a file that is no such list.
    public init(path: String, adding key: VerifyingKey) throws {
        var known = Files.exists(path) ? try Self.read(path) : []
        if !known.contains(where: { $0.id == key.id }) {
            known.append(key)
            // Whole or not at all: a list that is cut off would take back what was signed.
            try Files.write(known.map(\.pem).joined(), to: path + ".new")
            try Files.rename(path + ".new", to: path)
        }
        keys = known
    }

    private static func read(_ path: String) throws -> [VerifyingKey] {
        let end = "-----END PUBLIC KEY-----"
        let blocks = try Files.text(path).components(separatedBy: end).filter { $0.contains("-----BEGIN") }
        let keys = blocks.compactMap { VerifyingKey(pem: $0 + end) }
        guard keys.count == blocks.count, keys.count <= most else { throw KeyFileError.wrongSize(path) }
        return keys
    }
}
