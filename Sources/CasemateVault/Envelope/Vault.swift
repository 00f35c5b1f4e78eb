import CasemateModel
import Crypto

/// Seals and opens secrets: a data key per function, wrapped by the key-encryption key.
///
/// Only ciphertext leaves it towards the store; only a cold start opens.
public struct Vault: Sendable {
    private let keyring: FileKeyring

    public init(keyring: FileKeyring) { self.keyring = keyring }

    /// A new data key for `function`, wrapped.
    public func newDataKey(for function: FunctionId) throws -> [UInt8] { try keyring.wrap(SymmetricKey(size: .bits256), for: function) }

    /// Seals a value under the function's data key (AES-256-GCM, 96-bit random nonce).
    ///
    /// The additional data are function id, name and version: a row moved to another function, name or version does not open.
    /// Source: NIST SP 800-38D §8.2.2; guarantee COG-3.
    public func seal(_ secret: Secret, of function: FunctionId, wrappedKey: [UInt8], name: VariableName, version: Int) throws -> [UInt8] {
        let key = try keyring.unwrap(wrappedKey, for: function)
        let box = try secret.withBytes { try AES.GCM.seal($0, using: key, authenticating: Self.context(function, name, version)) }
        guard let combined = box.combined else { throw VaultError.broken }
        return Array(combined)
    }

    /// All secrets of one function, opened.
    /// - Throws: `.wrongKey` when a row is not what was sealed.
    public func open(_ sealed: [SealedSecret], of function: FunctionId, wrappedKey: [UInt8]) throws -> [(name: VariableName, value: Secret)]
    {
        guard !sealed.isEmpty else { return [] }
        let key = try keyring.unwrap(wrappedKey, for: function)
        return try sealed.map { row in
            guard let box = try? AES.GCM.SealedBox(combined: row.sealed),
                let plain = try? AES.GCM.open(box, using: key, authenticating: Self.context(function, row.name, row.version))
            else { throw VaultError.wrongKey }
            return (row.name, Secret(Array(plain)))
        }
    }

    private static func context(_ function: FunctionId, _ name: VariableName, _ version: Int) -> [UInt8] {
        Array("casemate/secret/1\0\(function)\0\(name)\0\(version)".utf8)
    }
}
