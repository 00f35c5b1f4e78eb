import CasemateLinux
import CasemateModel
import CasemateStore
import CasemateVault
import Crypto
import Foundation
import Glibc

/// The server's part of a backup: a copy of the database as it is at one moment, and its keys, sealed. The rest never changes or only grows,
/// and is copied as it lies there by whoever may read it.
public actor Backups {
    /// Beside the database, for as long as a backup is being made.
    public static let folderName = "backup"
    /// Keys that a server can't do without, by the names under which they are sealed. The key-encryption key is not among them.
    public static let keyFiles = [
        "SIGNING_KEY": "signing.key", "SIGNING_KEYS": "signing-keys.pem", "TOKEN_KEY": "token.key", "AUDIT_KEY": "audit.key",
        "WEBHOOK_KEY": "webhook.key",
    ]

    private let folder: String
    private let records: Records
    private let queue: CallQueue
    private let vault: Vault
    private var current: (id: String, key: DataKey)?
    private var isCopying = false

    init(folder: String, records: Records, queue: CallQueue, vault: Vault) {
        self.folder = folder
        self.records = records
        self.queue = queue
        self.vault = vault
        Files.removeTree("\(folder)/\(Self.folderName)")
    }

    /// Makes the copy; the one before is gone.
    /// - Throws: `VaultError` when the keys can't be sealed; `.conflict` while another is copied, or when the key was rotated meanwhile.
    func begin() async throws -> String {
        guard !isCopying else { throw Problem(.conflict, "another backup is being begun; wait for it") }
        isCopying = true
        defer { isCopying = false }
        let id = FunctionId()
        let place = "\(folder)/\(Self.folderName)"
        Files.removeTree(place)
        current = nil
        try Files.makeDirectories(place, mode: 0o700)
        let (key, wrapped) = try await vault.newDataKey(for: id)
        var sealed: [String: String] = [:]
        for (name, file) in Self.keyFiles {
            // One that signs elsewhere has no key here.
            guard let variable = VariableName(name), name != "SIGNING_KEY" || Files.exists("\(folder)/\(file)") else { continue }
            let secret = Secret(try Files.read("\(folder)/\(file)", limit: 65_536))
            sealed[name] = Data(try key.seal(secret, name: variable, version: 1)).base64EncodedString()
        }
        let keys = SealedKeys(id: id.text, keyId: wrapped.keyId, wrapped: Data(wrapped.bytes).base64EncodedString(), keys: sealed)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try Files.write(String(decoding: try encoder.encode(keys), as: UTF8.self), to: "\(place)/keys.json")
        try await records.copy(to: "\(place)/casemate.db")
        try await queue.copy(to: "\(place)/queue.db")
        // The copy must open with the key that opens the keys beside it.
        guard try await vault.activeKey() == wrapped.keyId else {
            Files.removeTree(place)
            throw Problem(.conflict, "the key-encryption key was rotated meanwhile; begin the backup anew")
        }
        current = (id.text, key)
        return id.text
    }

    /// What shows at a restore that the list of the backup's files is the one that was made here; the copy is removed.
    func end(_ id: String, digest: [UInt8]) throws(Problem) -> [UInt8] {
        guard let current, current.id == id else { throw Problem(.notFound, "there is no such backup under way; another one was begun") }
        self.current = nil
        Files.removeTree("\(folder)/\(Self.folderName)")
        return current.key.authenticationCode(for: digest)
    }
}

/// The keys of a server in a backup, under a data key of the backup's own.
public struct SealedKeys: Codable, Sendable {
    public var id: String
    public var keyId: String
    public var wrapped: String
    public var keys: [String: String]

    public init(id: String, keyId: String, wrapped: String, keys: [String: String]) {
        self.id = id
        self.keyId = keyId
        self.wrapped = wrapped
        self.keys = keys
    }

    /// The keys by their files' names, and the key with which the backup's list was authenticated.
    /// - Throws: `VaultError`; what is no such document.
    public func open(with vault: Vault) async throws -> (key: DataKey, files: [String: Secret]) {
        guard let id = FunctionId(id), let wrapped = Data(base64Encoded: wrapped) else { throw VaultError.tampered }
        let key = try await vault.open(WrappedKey(keyId: keyId, bytes: Array(wrapped)), of: id)
        var files: [String: Secret] = [:]
        for (name, text) in keys {
            guard let file = Backups.keyFiles[name], let variable = VariableName(name), let sealed = Data(base64Encoded: text) else {
                throw VaultError.tampered
            }
            let row = SealedSecret(
                functionId: id, name: variable, version: 1, sealed: Array(sealed), updated: Timestamp(milliseconds: 0))
            files[file] = try key.open([row])[0].value
        }
        return (key, files)
    }
}
