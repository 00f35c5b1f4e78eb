import CasemateModel
import Foundation
import GRDB

/// Something that a function may do though its manifest does not say so. It belongs to the function's name: whoever deploys the function
/// anew finds it.
public struct EgressGrant: Hashable, Sendable {
    public let host: AllowedHost
    public let created: Timestamp
    public let author: DeployAuthor

    public init(host: AllowedHost, created: Timestamp, author: DeployAuthor) {
        self.host = host
        self.created = created
        self.author = author
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

    /// - Parameter author: who lets functions reach what they might not before.
    public func set(_ policy: NamespacePolicy, of namespace: NamespaceId, by author: DeployAuthor) throws {
        let before = try self.policy(of: namespace).egress.allow
        for host in before where !policy.egress.allow.contains(host) {
            try db.execute(
                sql: "DELETE FROM egress_allowed WHERE namespace_id = ? AND target = ?", arguments: [namespace.text, host.description])
        }
        for host in policy.egress.allow where !before.contains(host) {
            try db.execute(
                sql: "INSERT OR REPLACE INTO egress_allowed VALUES (?, ?, ?, ?, ?)",
                arguments: [namespace.text, host.description, Timestamp.now.milliseconds, author.subject, author.identity])
        }
        try db.execute(
            sql: "INSERT OR REPLACE INTO namespace_policies VALUES (?, ?)", arguments: [namespace.text, try policy.canonical])
    }

    /// Sorted by name.
    public func egressGrants(of name: FunctionLabel, in namespace: NamespaceId) throws -> [EgressGrant] {
        try Row.fetchAll(
            db, sql: "SELECT * FROM egress_grants WHERE namespace_id = ? AND function = ?", arguments: [namespace.text, name.text]
        ).map { row in
            guard let host = AllowedHost(row["target"] as String) else { throw RecordsError.damaged }
            let author = DeployAuthor(subject: row["created_by"], identity: row["author_identity"])
            return EgressGrant(host: host, created: Timestamp(milliseconds: row["created"]), author: author)
        }.sorted { $0.host < $1.host }
    }

    /// What the function may reach besides what its manifest says, granted to it or to its whole namespace. Sorted.
    public func grantedEgress(of name: FunctionLabel, in namespace: NamespaceId) throws -> [AllowedHost] {
        Array(Set(try egressGrants(of: name, in: namespace).map(\.host) + policy(of: namespace).egress.allow)).sorted()
    }

    /// What counts of that for `revision`.
    ///
    /// Where grants have to be approved, one made after it does not: what was taken back, and is asked for again, would be in force by
    /// going back to what had it before.
    public func grantedEgress(to revision: Revision?, of function: Function) throws -> Set<AllowedHost> {
        let (name, policy) = (function.name.function, try policy(of: function.namespaceId))
        guard let revision, policy.supplyChain.production || !policy.supplyChain.needed([.egress]).isEmpty else {
            return Set(try grantedEgress(of: name, in: function.namespaceId))
        }
        let all = try egressGrants(of: name, in: function.namespaceId) + allowedEgress(in: function.namespaceId)
        return Set(all.filter { $0.created <= revision.created }.map(\.host))
    }

    /// What the namespace's policy lets all its functions reach, since when and by whom.
    public func allowedEgress(in namespace: NamespaceId) throws -> [EgressGrant] {
        let rows = try Row.fetchAll(db, sql: "SELECT * FROM egress_allowed WHERE namespace_id = ?", arguments: [namespace.text])
        var known: [String: Row] = [:]
        for row in rows { known[row["target"]] = row }
        return try policy(of: namespace).egress.allow.map { host in
            guard let row = known[host.description] else {
                // As old as the records of it.
                return EgressGrant(host: host, created: Timestamp(milliseconds: 0), author: DeployAuthor(subject: "", identity: ""))
            }
            return EgressGrant(
                host: host, created: Timestamp(milliseconds: row["created"]),
                author: DeployAuthor(subject: row["created_by"], identity: row["author_identity"]))
        }
    }

    /// Keeps the older one when there is one.
    /// - Parameter function: set where the grant is for this function alone, not for another that has its name later.
    public func insert(_ grant: EgressGrant, of name: FunctionLabel, in namespace: NamespaceId, onlyFor function: FunctionId? = nil) throws
    {
        try db.execute(
            sql: """
                INSERT OR IGNORE INTO egress_grants (namespace_id, function, target, created, created_by, author_identity, function_id)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                namespace.text, name.text, grant.host.description, grant.created.milliseconds, grant.author.subject, grant.author.identity,
                function?.text,
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
