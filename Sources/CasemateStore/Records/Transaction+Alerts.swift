import CasemateModel
import Foundation
import GRDB

extension Transaction {
    /// All of them, the oldest first.
    public func alerts() throws -> [Alert] {
        try Row.fetchAll(db, sql: "SELECT * FROM alerts ORDER BY created, id").map(Alert.init(row:))
    }

    public func insert(_ alert: Alert) throws {
        try db.execute(
            sql: """
                INSERT INTO alerts (id, namespace_id, kinds, url, may_reach_private, cursor, created, created_by)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                alert.id.text, alert.namespaceId?.text, alert.kinds.map(\.text).joined(separator: ","), alert.url, alert.mayReachPrivate,
                Int64(alert.cursor), alert.created.milliseconds, alert.createdBy,
            ])
    }

    /// Whether there was one.
    public func deleteAlert(_ id: AlertId) throws -> Bool {
        try db.execute(sql: "DELETE FROM alerts WHERE id = ?", arguments: [id.text])
        return db.changesCount > 0
    }

    public func setCursor(_ cursor: UInt64, of id: AlertId) throws {
        try db.execute(sql: "UPDATE alerts SET cursor = ? WHERE id = ?", arguments: [Int64(cursor), id.text])
    }
}

extension Alert {
    init(row: Row) throws {
        guard let id = AlertId(row["id"] as String) else { throw RecordsError.damaged }
        self.init(
            id: id, namespaceId: (row["namespace_id"] as String?).flatMap { NamespaceId($0) },
            // A kind of an older release that there is no more is left out.
            kinds: (row["kinds"] as String).split(separator: ",").compactMap { AuditKind($0) }, url: row["url"],
            mayReachPrivate: row["may_reach_private"], cursor: UInt64(max(0, row["cursor"] as Int64)),
            created: Timestamp(milliseconds: row["created"]), createdBy: row["created_by"])
    }
}
