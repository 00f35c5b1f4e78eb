import CasemateModel
import Foundation
import GRDB

/// Something that a function may do though its manifest does not say so. It belongs to the function's name: whoever deploys the function
/// anew finds it.
public struct EgressGrant: Hashable, Sendable {
    public let host: AllowedHost
    public let created: Timestamp
    public let createdBy: String

    public init(host: AllowedHost, created: Timestamp, createdBy: String) {
        self.host = host
        self.created = created
        self.createdBy = createdBy
    }
}

extension NamespacePolicy {
    /// JSON with sorted keys.
    public var canonical: Data {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return try encoder.encode(self)
        }
    }
}

extension Transaction {
    public func policies() throws -> [NamespaceId: NamespacePolicy] {
        var found: [NamespaceId: NamespacePolicy] = [:]
        for row in try Row.fetchAll(db, sql: "SELECT * FROM namespace_policies") {
            guard let id = NamespaceId(row["namespace_id"] as String) else { throw RecordsError.damaged }
            found[id] = try JSONDecoder().decode(NamespacePolicy.self, from: row["policy"] as Data)
        }
        return found
    }

    public func policy(of namespace: NamespaceId) throws -> NamespacePolicy { try policies()[namespace] ?? NamespacePolicy() }

    public func set(_ policy: NamespacePolicy, of namespace: NamespaceId) throws {
        try db.execute(
            sql: "INSERT OR REPLACE INTO namespace_policies VALUES (?, ?)", arguments: [namespace.text, try policy.canonical])
    }

    /// Sorted by name.
    public func egressGrants(of name: FunctionLabel, in namespace: NamespaceId) throws -> [EgressGrant] {
        try Row.fetchAll(
            db, sql: "SELECT * FROM egress_grants WHERE namespace_id = ? AND function = ?", arguments: [namespace.text, name.text]
        ).map { row in
            guard let host = AllowedHost(row["target"] as String) else { throw RecordsError.damaged }
            return EgressGrant(host: host, created: Timestamp(milliseconds: row["created"]), createdBy: row["created_by"])
        }.sorted { $0.host < $1.host }
    }

    /// What the function may reach besides what its manifest says, granted to it or to its whole namespace. Sorted.
    public func grantedEgress(of name: FunctionLabel, in namespace: NamespaceId) throws -> [AllowedHost] {
        Array(Set(try egressGrants(of: name, in: namespace).map(\.host) + policy(of: namespace).egress.allow)).sorted()
    }

    /// Keeps the older one when there is one.
    /// - Parameter function: set where the grant is for this function alone, not for another that has its name later.
    public func insert(_ grant: EgressGrant, of name: FunctionLabel, in namespace: NamespaceId, onlyFor function: FunctionId? = nil) throws
    {
        try db.execute(
            sql: """
                INSERT OR IGNORE INTO egress_grants (namespace_id, function, target, created, created_by, function_id)
                VALUES (?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                namespace.text, name.text, grant.host.description, grant.created.milliseconds, grant.createdBy, function?.text,
            ])
    }

    /// Whether there was one.
    @discardableResult
    public func deleteEgressGrant(_ host: AllowedHost, of name: FunctionLabel, in namespace: NamespaceId) throws -> Bool {
        try db.execute(
            sql: "DELETE FROM egress_grants WHERE namespace_id = ? AND function = ? AND target = ?",
            arguments: [namespace.text, name.text, host.description])
        return db.changesCount > 0
    }
}
