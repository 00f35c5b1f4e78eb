import CasemateModel
import Foundation
import GRDB

/// Which key wraps what, and whether anything may be opened.
extension Transaction {
    public func isSealed() throws -> Bool { try Bool.fetchOne(db, sql: "SELECT is_sealed FROM vault") ?? false }

    public func setSealed(_ isSealed: Bool) throws { try db.execute(sql: "UPDATE vault SET is_sealed = ?", arguments: [isSealed]) }

    /// How many data keys each key-encryption key wraps.
    public func countsByKey() throws -> [String: Int] {
        var counts: [String: Int] = [:]
        for row in try Row.fetchAll(db, sql: "SELECT key_id, count(*) AS number FROM functions GROUP BY key_id") {
            counts[row["key_id"]] = row["number"]
        }
        return counts
    }

    /// Some of the functions whose data key another key than this wraps.
    public func functions(notWrappedBy keyId: String, limit: Int) throws -> [(id: FunctionId, wrapped: WrappedKey)] {
        try Row.fetchAll(
            db, sql: "SELECT id, key_id, wrapped_data_key FROM functions WHERE key_id <> ? LIMIT ?", arguments: [keyId, limit]
        ).map { row in
            guard let id = FunctionId(row["id"] as String) else { throw RecordsError.damaged }
            return (id, WrappedKey(keyId: row["key_id"], bytes: [UInt8](row["wrapped_data_key"] as Data)))
        }
    }

    /// Answers whether it was still wrapped as `before`: a function that was deleted meanwhile is no fault.
    @discardableResult
    public func rewrap(_ id: FunctionId, from before: WrappedKey, to after: WrappedKey) throws -> Bool {
        try db.execute(
            sql: "UPDATE functions SET wrapped_data_key = ?, key_id = ? WHERE id = ? AND wrapped_data_key = ?",
            arguments: [Data(after.bytes), after.keyId, id.text, Data(before.bytes)])
        return db.changesCount > 0
    }

    /// From now on no function's data key is stored that one of these wraps.
    public func retire(_ keys: some Sequence<String>, at time: Timestamp) throws {
        for key in keys {
            try db.execute(sql: "INSERT OR IGNORE INTO retired_keys VALUES (?, ?)", arguments: [key, time.milliseconds])
        }
    }

    func isRetired(_ key: String) throws -> Bool {
        try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM retired_keys WHERE key_id = ?)", arguments: [key]) ?? false
    }
}
