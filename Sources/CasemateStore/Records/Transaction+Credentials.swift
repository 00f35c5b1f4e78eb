import CasemateModel
import Foundation
import GRDB

extension Transaction {
    /// Tokens and API keys, expired ones included.
    public func credentials() throws -> [StoredCredential] {
        try Row.fetchAll(db, sql: "SELECT * FROM tokens ORDER BY created").map(StoredCredential.init(token:))
            + Row.fetchAll(db, sql: "SELECT * FROM api_keys ORDER BY created").map(StoredCredential.init(apiKey:))
            + Row.fetchAll(db, sql: "SELECT * FROM account_credentials ORDER BY created").map(StoredCredential.init(account:))
    }

    public func insert(_ credential: StoredCredential) throws {
        switch credential.holder {
        case .functionToken(let id, let namespace, let function):
            guard let expires = credential.expires else { throw Problem(.invalidRequest, "a token needs an expiry") }
            try db.execute(
                sql: """
                    INSERT INTO tokens (id, hash, prefix, description, namespace_id, function_id, created, expires, created_by)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    id.text, Data(credential.hash), credential.prefix, credential.description, namespace.text, function?.text,
                    credential.created.milliseconds, expires.milliseconds, credential.createdBy,
                ])
        case .administrator(let id):
            try db.execute(
                sql: "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?)",
                arguments: [
                    id.text, Data(credential.hash), credential.prefix, credential.description, credential.created.milliseconds,
                    credential.expires?.milliseconds,
                ])
        case .serviceAccount(let account, let id, let kind):
            guard let expires = credential.expires else { throw Problem(.invalidRequest, "a key needs an expiry") }
            try db.execute(
                sql: """
                    INSERT INTO account_credentials (id, kind, account_id, hash, prefix, description, created, expires, created_by)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    id.text, kind.rawValue, account.text, Data(credential.hash), credential.prefix, credential.description,
                    credential.created.milliseconds, expires.milliseconds, credential.createdBy,
                ])
            if kind == .key { try noteMaker(credential.createdBy, of: account) }
        case .person: throw Problem(.internalError, "a sign-in is stored with what it was made for")
        }
    }

    /// Of one account and kind, newest first.
    public func credentials(of account: AccountId, _ kind: StoredCredential.AccountCredential) throws -> [StoredCredential] {
        try Row.fetchAll(
            db, sql: "SELECT * FROM account_credentials WHERE account_id = ? AND kind = ? ORDER BY created DESC, id",
            arguments: [account.text, kind.rawValue]
        ).map(StoredCredential.init(account:))
    }

    /// Deletes all but the newest, and answers the hashes of what went.
    public func keepNewest(_ count: Int, _ kind: StoredCredential.AccountCredential, of account: AccountId) throws -> [[UInt8]] {
        let gone = try credentials(of: account, kind).dropFirst(count)
        for credential in gone {
            try db.execute(sql: "DELETE FROM account_credentials WHERE hash = ?", arguments: [Data(credential.hash)])
        }
        return gone.map(\.hash)
    }

    /// Answers whether the account had it.
    public func deleteCredential(_ id: KeyId, of account: AccountId) throws -> Bool {
        try db.execute(sql: "DELETE FROM account_credentials WHERE id = ? AND account_id = ?", arguments: [id.text, account.text])
        return db.changesCount > 0
    }

    /// Those that can't be used any more, but for tokens and keys, which people still see in lists.
    public func deleteExpiredAccessTokens(at time: Timestamp) throws {
        try db.execute(
            sql: "DELETE FROM account_credentials WHERE kind = 'access-token' AND expires <= ?", arguments: [time.milliseconds])
    }

    public func setLastUsed(_ uses: [(hash: [UInt8], at: Timestamp)]) throws {
        for table in ["tokens", "account_credentials", "sign_ins"] {
            for use in uses {
                try db.execute(
                    sql: "UPDATE \(table) SET last_used = ? WHERE hash = ?", arguments: [use.at.milliseconds, Data(use.hash)])
            }
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
            created: Timestamp(milliseconds: row["created"]), expires: Timestamp(milliseconds: row["expires"]),
            createdBy: row["created_by"], lastUsed: (row["last_used"] as Int64?).map(Timestamp.init(milliseconds:)))
    }

    init(account row: Row) throws {
        guard let id = KeyId(row["id"] as String), let account = AccountId(row["account_id"] as String),
            let kind = AccountCredential(rawValue: row["kind"])
        else { throw RecordsError.damaged }
        self.init(
            holder: .serviceAccount(account, id, kind), hash: [UInt8](row["hash"] as Data), prefix: row["prefix"],
            description: row["description"], created: Timestamp(milliseconds: row["created"]),
            expires: Timestamp(milliseconds: row["expires"]), createdBy: row["created_by"],
            lastUsed: (row["last_used"] as Int64?).map(Timestamp.init(milliseconds:)))
    }

    init(apiKey row: Row) throws {
        guard let id = KeyId(row["id"] as String) else { throw RecordsError.damaged }
        self.init(
            holder: .administrator(id), hash: [UInt8](row["hash"] as Data), prefix: row["prefix"], description: row["description"],
            created: Timestamp(milliseconds: row["created"]), expires: (row["expires"] as Int64?).map(Timestamp.init(milliseconds:)))
    }
}
