import CasemateModel
import Foundation
import GRDB

extension Transaction {
    /// Tokens and API keys, expired ones included.
    public func credentials() throws -> [StoredCredential] {
        try Row.fetchAll(db, sql: "SELECT * FROM tokens ORDER BY created").map(StoredCredential.init(token:))
            + Row.fetchAll(db, sql: "SELECT * FROM api_keys ORDER BY created").map(StoredCredential.init(apiKey:))
    }

    public func insert(_ credential: StoredCredential) throws {
        switch credential.holder {
        case .functionToken(let id, let namespace, let function):
            guard let expires = credential.expires else { throw Problem(.invalidRequest, "a token needs an expiry") }
            try db.execute(
                sql: "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                arguments: [
                    id.text, Data(credential.hash), credential.prefix, credential.description, namespace.text, function?.text,
                    credential.created.milliseconds, expires.milliseconds,
                ])
        case .administrator(let id):
            try db.execute(
                sql: "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?)",
                arguments: [
                    id.text, Data(credential.hash), credential.prefix, credential.description, credential.created.milliseconds,
                    credential.expires?.milliseconds,
                ])
        }
    }

    /// Answers whether there was one.
    public func deleteToken(_ id: TokenId) throws -> Bool {
        try db.execute(sql: "DELETE FROM tokens WHERE id = ?", arguments: [id.text])
        return db.changesCount > 0
    }

    /// Makes `hash` the one bootstrap administrator key: an operator who replaced the key's file has revoked the old one.
    public func setBootstrapKey(hash: [UInt8], prefix: String, at time: Timestamp) throws {
        let known = try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM api_keys WHERE hash = ?)", arguments: [Data(hash)]) ?? false
        guard !known else { return }
        try db.execute(sql: "DELETE FROM api_keys WHERE description = ?", arguments: [Self.bootstrapDescription])
        try insert(
            StoredCredential(
                holder: .administrator(KeyId()), hash: hash, prefix: prefix, description: Self.bootstrapDescription, created: time,
                expires: nil
            ))
    }

    private static let bootstrapDescription = "bootstrap administrator"
}

extension StoredCredential {
    init(token row: Row) throws {
        guard let id = TokenId(row["id"] as String), let namespace = NamespaceId(row["namespace_id"] as String) else {
            throw RecordsError.damaged
        }
        self.init(
            holder: .functionToken(id, namespace: namespace, function: (row["function_id"] as String?).flatMap { FunctionId($0) }),
            hash: [UInt8](row["hash"] as Data), prefix: row["prefix"], description: row["description"],
            created: Timestamp(milliseconds: row["created"]), expires: Timestamp(milliseconds: row["expires"]))
    }

    init(apiKey row: Row) throws {
        guard let id = KeyId(row["id"] as String) else { throw RecordsError.damaged }
        self.init(
            holder: .administrator(id), hash: [UInt8](row["hash"] as Data), prefix: row["prefix"], description: row["description"],
            created: Timestamp(milliseconds: row["created"]), expires: (row["expires"] as Int64?).map(Timestamp.init(milliseconds:)))
    }
}
