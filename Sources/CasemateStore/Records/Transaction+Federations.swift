import CasemateModel
import Foundation
import GRDB

extension Transaction {
    /// Of one account, the oldest first.
    public func federations(of account: AccountId) throws -> [Federation] {
        try Row.fetchAll(db, sql: "SELECT * FROM federations WHERE account_id = ? ORDER BY created, id", arguments: [account.text]).map(
            Federation.init(row:))
    }

    public func insert(_ federation: Federation) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        try db.execute(
            sql: "INSERT INTO federations (id, account_id, issuer_id, claims, created, created_by) VALUES (?, ?, ?, ?, ?, ?)",
            arguments: [
                federation.id.text, federation.account.text, federation.issuer.text, try encoder.encode(federation.claims),
                federation.created.milliseconds, federation.createdBy,
            ])
        try noteMaker(federation.createdBy, of: federation.account)
    }

    /// With the access tokens of the account: which of them it led to is not known. False where there is none.
    public func deleteFederation(_ id: FederationId, of account: AccountId) throws -> Bool {
        try db.execute(sql: "DELETE FROM federations WHERE id = ? AND account_id = ?", arguments: [id.text, account.text])
        guard db.changesCount > 0 else { return false }
        try deleteAccessTokens(of: account)
        return true
    }
}

extension Federation {
    init(row: Row) throws {
        guard let id = FederationId(row["id"] as String), let account = AccountId(row["account_id"] as String),
            let issuer = IssuerId(row["issuer_id"] as String)
        else { throw RecordsError.damaged }
        self.init(
            id: id, account: account, issuer: issuer, claims: try JSONDecoder().decode([String: String].self, from: row["claims"] as Data),
            created: Timestamp(milliseconds: row["created"]), createdBy: row["created_by"])
    }
}
