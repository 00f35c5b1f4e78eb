import CasemateModel
import GRDB

extension Transaction {
    public func namespaces() throws -> [Namespace] {
        try Row.fetchAll(db, sql: "SELECT * FROM namespaces ORDER BY name").map(Namespace.init(row:))
    }

    public func namespace(_ name: NamespaceName) throws -> Namespace? {
        try Row.fetchOne(db, sql: "SELECT * FROM namespaces WHERE name = ?", arguments: [name.text]).map(Namespace.init(row:))
    }

    /// - Throws: `.conflict` when the name is taken.
    public func insert(_ namespace: Namespace) throws {
        guard try self.namespace(namespace.name) == nil else { throw Problem(.conflict, "namespace \(namespace.name) exists already") }
        try db.execute(
            sql: "INSERT INTO namespaces VALUES (?, ?, ?)",
            arguments: [namespace.id.text, namespace.name.text, namespace.created.milliseconds])
    }

    /// - Throws: `.conflict` while functions are in it.
    public func delete(_ namespace: Namespace) throws {
        let functions =
            try Int.fetchOne(db, sql: "SELECT count(*) FROM functions WHERE namespace_id = ?", arguments: [namespace.id.text]) ?? 0
        guard functions == 0 else {
            throw Problem(.conflict, "namespace \(namespace.name) still has \(functions) function(s); delete them first")
        }
        try db.execute(sql: "DELETE FROM namespaces WHERE id = ?", arguments: [namespace.id.text])
    }
}

extension Namespace {
    init(row: Row) throws {
        guard let id = NamespaceId(row["id"] as String), let name = NamespaceName(row["name"] as String) else { throw RecordsError.damaged }
        self.init(id: id, name: name, created: Timestamp(milliseconds: row["created"]))
    }
}
