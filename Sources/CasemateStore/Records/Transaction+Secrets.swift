import CasemateModel
import Foundation
import GRDB

extension Transaction {
    public func secrets(of function: FunctionId) throws -> [SealedSecret] {
        try Row.fetchAll(db, sql: "SELECT * FROM secrets WHERE function_id = ? ORDER BY name", arguments: [function.text])
            .map(SealedSecret.init(row:))
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

    public func put(_ secret: SealedSecret) throws {
        try db.execute(
            sql: """
                INSERT INTO secrets VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (function_id, name) DO UPDATE SET version = excluded.version, sealed = excluded.sealed, updated = excluded.updated
                """,
            arguments: [
                secret.functionId.text, secret.name.text, secret.version, Data(secret.sealed), secret.updated.milliseconds,
            ])
    }

    /// Answers whether there was one.
    public func deleteSecret(_ name: VariableName, of function: FunctionId) throws -> Bool {
        try db.execute(sql: "DELETE FROM secrets WHERE function_id = ? AND name = ?", arguments: [function.text, name.text])
        return db.changesCount > 0
    }
}

extension SealedSecret {
    init(row: Row) throws {
        guard let functionId = FunctionId(row["function_id"] as String), let name = VariableName(row["name"] as String) else {
            throw RecordsError.damaged
        }
        self.init(
            functionId: functionId, name: name, version: row["version"], sealed: [UInt8](row["sealed"] as Data),
            updated: Timestamp(milliseconds: row["updated"]))
    }
}
