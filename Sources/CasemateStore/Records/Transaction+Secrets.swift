import CasemateModel
import Foundation
import GRDB

extension Transaction {
    public func secrets(of function: FunctionId) throws -> [SealedSecret] {
        try Row.fetchAll(db, sql: "SELECT * FROM secrets WHERE function_id = ? ORDER BY name", arguments: [function.text])
            .map(SealedSecret.init(row:))
    }

    public func secret(_ name: VariableName, of function: FunctionId) throws -> SealedSecret? {
        try Row.fetchOne(db, sql: "SELECT * FROM secrets WHERE function_id = ? AND name = ?", arguments: [function.text, name.text])
            .map(SealedSecret.init(row:))
    }

    /// Values that were replaced or deleted not long ago, the newest first: they are still looked for in what the function says, and can be
    /// had back.
    public func formerSecrets(of function: FunctionId) throws -> [FormerSecret] {
        try Row.fetchAll(
            db, sql: "SELECT * FROM former_secrets WHERE function_id = ? ORDER BY name, version DESC", arguments: [function.text]
        ).map { FormerSecret(secret: try SealedSecret(row: $0), replaced: Timestamp(milliseconds: $0["replaced"])) }
    }

    /// The number of the version about to be written. Versions only grow, also over a delete: an old sealed value never fits again.
    public func nextSecretVersion(_ name: VariableName, of function: FunctionId) throws -> Int {
        try db.execute(
            sql: """
                INSERT INTO secret_versions VALUES (?, ?, 1)
                ON CONFLICT (function_id, name) DO UPDATE SET last = last + 1
                """, arguments: [function.text, name.text])
        return try Int.fetchOne(
            db, sql: "SELECT last FROM secret_versions WHERE function_id = ? AND name = ?", arguments: [function.text, name.text]) ?? 1
    }

    /// What was there before is kept as a former value, unless it is the same.
    public func put(_ secret: SealedSecret) throws {
        try retire(secret.name, of: secret.functionId, at: secret.updated, before: secret.fingerprint)
        try db.execute(
            sql: """
                INSERT INTO secrets (function_id, name, version, sealed, updated, fingerprint, weaknesses) VALUES (?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (function_id, name) DO UPDATE SET version = excluded.version, sealed = excluded.sealed,
                    updated = excluded.updated, fingerprint = excluded.fingerprint, weaknesses = excluded.weaknesses
                """,
            arguments: [
                secret.functionId.text, secret.name.text, secret.version, Data(secret.sealed), secret.updated.milliseconds,
                secret.fingerprint, secret.weaknesses.joined(separator: ","),
            ])
    }

    /// Answers whether there was one.
    public func deleteSecret(_ name: VariableName, of function: FunctionId, at time: Timestamp = .now) throws -> Bool {
        try retire(name, of: function, at: time)
        try db.execute(sql: "DELETE FROM secrets WHERE function_id = ? AND name = ?", arguments: [function.text, name.text])
        return db.changesCount > 0
    }

    /// Removes former values that were replaced before `time`.
    /// - Returns: the functions whose they were.
    public func deleteFormerSecrets(replacedBefore time: Timestamp) throws -> [FunctionId] {
        let functions = try String.fetchAll(
            db, sql: "SELECT DISTINCT function_id FROM former_secrets WHERE replaced < ?", arguments: [time.milliseconds])
        try db.execute(sql: "DELETE FROM former_secrets WHERE replaced < ?", arguments: [time.milliseconds])
        return functions.compactMap { FunctionId($0) }
    }

    /// How many secrets a function has besides `name`, and how long their sealed values are together.
    public func sizeOfSecrets(of function: FunctionId, besides name: VariableName) throws -> (count: Int, bytes: Int) {
        let row = try Row.fetchOne(
            db, sql: "SELECT count(*), coalesce(sum(length(sealed)), 0) FROM secrets WHERE function_id = ? AND name <> ?",
            arguments: [function.text, name.text])
        return (row?[0] ?? 0, row?[1] ?? 0)
    }

    /// - Parameter fingerprint: of the value that follows; nil for none.
    private func retire(_ name: VariableName, of function: FunctionId, at time: Timestamp, before fingerprint: String? = nil) throws {
        guard let now = try secret(name, of: function), now.fingerprint != fingerprint else { return }
        // The same value is looked for once.
        try db.execute(
            sql: "DELETE FROM former_secrets WHERE function_id = ? AND name = ? AND fingerprint IN (?, ?) AND fingerprint <> ''",
            arguments: [function.text, name.text, now.fingerprint, fingerprint ?? now.fingerprint])
        try db.execute(
            sql: """
                INSERT OR REPLACE INTO former_secrets (function_id, name, version, sealed, updated, fingerprint, weaknesses, replaced)
                SELECT function_id, name, version, sealed, updated, fingerprint, weaknesses, ? FROM secrets
                WHERE function_id = ? AND name = ?
                """, arguments: [time.milliseconds, function.text, name.text])
        try trimFormerSecrets(of: function)
    }

    /// The oldest go where there are too many: whoever has to replace a value is not kept from it.
    private func trimFormerSecrets(of function: FunctionId) throws {
        var left = FormerSecret.mostBytes
        let rows = try Row.fetchAll(
            db,
            sql:
                "SELECT name, version, length(sealed) AS size FROM former_secrets WHERE function_id = ? ORDER BY replaced DESC, version DESC",
            arguments: [function.text])
        for (index, row) in rows.enumerated() {
            left -= row["size"] as Int
            if index < FormerSecret.most, left >= 0 { continue }
            try db.execute(
                sql: "DELETE FROM former_secrets WHERE function_id = ? AND name = ? AND version = ?",
                arguments: [function.text, row["name"] as String, row["version"] as Int])
        }
    }
}

/// A value that a secret had before.
public struct FormerSecret: Sendable, Equatable {
    public let secret: SealedSecret
    public let replaced: Timestamp

    /// For how long it is kept: what a function printed before the change may come out later.
    public static let keptForMilliseconds: Int64 = 24 * 3_600_000
    /// Of one function: what it says is searched for each.
    public static let most = 200
    /// Of one function, sealed.
    public static let mostBytes = 512 << 10
}

extension SealedSecret {
    init(row: Row) throws {
        guard let functionId = FunctionId(row["function_id"] as String), let name = VariableName(row["name"] as String) else {
            throw RecordsError.damaged
        }
        self.init(
            functionId: functionId, name: name, version: row["version"], sealed: [UInt8](row["sealed"] as Data),
            fingerprint: row["fingerprint"], weaknesses: (row["weaknesses"] as String).split(separator: ",").map(String.init),
            updated: Timestamp(milliseconds: row["updated"]))
    }
}
