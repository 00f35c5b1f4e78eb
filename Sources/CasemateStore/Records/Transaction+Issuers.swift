import CasemateModel
import Foundation
import GRDB

extension Transaction {
    /// By name.
    public func issuers() throws -> [Issuer] {
        try Row.fetchAll(db, sql: "SELECT * FROM issuers ORDER BY name").map(Issuer.init(row:))
    }

    public func issuer(_ name: IssuerLabel) throws -> Issuer? {
        try Row.fetchOne(db, sql: "SELECT * FROM issuers WHERE name = ?", arguments: [name.text]).map(Issuer.init(row:))
    }

    /// - Throws: `.conflict` when the name or the URL is taken.
    public func insert(_ issuer: Issuer) throws {
        if let known = try issuers().first(where: { $0.name == issuer.name || $0.url == issuer.url }) {
            throw Problem(.conflict, "issuer \(known.name) has that \(known.name == issuer.name ? "name" : "URL") already")
        }
        try db.execute(
            sql: """
                INSERT INTO issuers
                    (id, name, url, audiences, username_claim, groups_claim, algorithms, authority, client_id, scope,
                     allows_device, for_pipelines, created, created_by)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                issuer.id.text, issuer.name.text, issuer.url, try Self.list(issuer.audiences), issuer.usernameClaim, issuer.groupsClaim,
                try Self.list(issuer.algorithms), issuer.authority, issuer.clientId, issuer.scope, issuer.allowsDevice,
                issuer.isForPipelines,
                issuer.created.milliseconds, issuer.createdBy,
            ])
    }

    /// With the grants and sessions of its people, and the access tokens of accounts that its tokens stand for.
    public func delete(_ issuer: Issuer) throws {
        let accounts = try String.fetchAll(
            db, sql: "SELECT DISTINCT account_id FROM federations WHERE issuer_id = ?", arguments: [issuer.id.text])
        for account in accounts.compactMap({ AccountId($0) }) { try deleteAccessTokens(of: account) }
        try db.execute(sql: "DELETE FROM issuers WHERE id = ?", arguments: [issuer.id.text])
    }

    private static func list(_ texts: [String]) throws -> Data { try JSONEncoder().encode(texts) }
}

extension Issuer {
    init(row: Row) throws {
        guard let id = IssuerId(row["id"] as String), let name = IssuerLabel(row["name"] as String) else { throw RecordsError.damaged }
        self.init(
            id: id, name: name, url: row["url"], audiences: try JSONDecoder().decode([String].self, from: row["audiences"] as Data),
            usernameClaim: row["username_claim"], groupsClaim: row["groups_claim"],
            algorithms: try JSONDecoder().decode([String].self, from: row["algorithms"] as Data), authority: row["authority"],
            clientId: row["client_id"], scope: row["scope"],
            created: Timestamp(milliseconds: row["created"]), createdBy: row["created_by"])
        allowsDevice = row["allows_device"]
        isForPipelines = row["for_pipelines"]
    }
}
