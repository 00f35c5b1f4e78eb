import CasemateModel
import Foundation
import GRDB

/// Whose word a revision has, and which revision runs how many of the calls.
extension Transaction {
    public func revision(_ number: Int, of function: FunctionId) throws -> Revision? {
        try Row.fetchOne(db, sql: Self.selectRevision + " WHERE function_id = ? AND number = ?", arguments: [function.text, number])
            .map(Revision.init(row:))
    }

    public func evidence(of revision: RevisionId) throws -> RevisionEvidence {
        let sql = "SELECT provenance, statement, statement_signature FROM revisions WHERE id = ?"
        guard let row = try Row.fetchOne(db, sql: sql, arguments: [revision.text]) else { return RevisionEvidence() }
        return RevisionEvidence(
            provenance: (row["provenance"] as Data?).map { [UInt8]($0) }, statement: row["statement"], signature: row["statement_signature"]
        )
    }

    // MARK: Approvals

    public func approvals(of revision: RevisionId) throws -> [Approval] {
        try Row.fetchAll(db, sql: "SELECT * FROM approvals WHERE revision_id = ? ORDER BY created, identity", arguments: [revision.text])
            .map { row in
                Approval(
                    revision: revision, digest: row["digest"], by: row["approved_by"], identity: row["identity"], comment: row["comment"],
                    created: Timestamp(milliseconds: row["created"]), signature: [UInt8](row["signature"] as Data))
            }
    }

    public func insert(_ approval: Approval) throws {
        try db.execute(
            sql: """
                INSERT OR REPLACE INTO approvals (revision_id, identity, approved_by, digest, comment, created, signature)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                approval.revision.text, approval.identity, approval.by, approval.digest, approval.comment, approval.created.milliseconds,
                Data(approval.signature),
            ])
    }

    public func setState(_ state: RevisionState, of revision: RevisionId) throws {
        try db.execute(sql: "UPDATE revisions SET state = ? WHERE id = ?", arguments: [state.rawValue, revision.text])
    }

    /// Those that wait for an approval wait no more.
    public func supersedePending(of function: FunctionId) throws {
        try db.execute(
            sql: "UPDATE revisions SET state = 'superseded' WHERE function_id = ? AND state = 'pendingApproval'", arguments: [function.text]
        )
    }

    /// The one that waits for an approval; a newer one takes an older one's place.
    public func pendingRevision(of function: FunctionId) throws -> Revision? {
        let sql = Self.selectRevision + " WHERE function_id = ? AND state = 'pendingApproval' ORDER BY number DESC LIMIT 1"
        return try Row.fetchOne(db, sql: sql, arguments: [function.text]).map(Revision.init(row:))
    }

    /// Those that wait for an approval, oldest first.
    public func pendingRevisions(in namespace: NamespaceId) throws -> [Revision] {
        let sql =
            Self.selectRevision + """
                 WHERE state = 'pendingApproval' AND function_id IN (SELECT id FROM functions WHERE namespace_id = ?) ORDER BY created, id
                """
        return try Row.fetchAll(db, sql: sql, arguments: [namespace.text]).map(Revision.init(row:))
    }

    // MARK: What is kept

    public func setPinned(_ isPinned: Bool, _ revision: RevisionId) throws {
        try db.execute(sql: "UPDATE revisions SET is_pinned = ? WHERE id = ?", arguments: [isPinned, revision.text])
    }

    public func revisionCount(of function: FunctionId) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT count(*) FROM revisions WHERE function_id = ?", arguments: [function.text]) ?? 0
    }

    public func deleteRevision(_ id: RevisionId) throws {
        try db.execute(sql: "DELETE FROM revisions WHERE id = ?", arguments: [id.text])
    }

    // MARK: Splits

    public func split(of function: FunctionId) throws -> RevisionSplit? {
        try Row.fetchOne(db, sql: "SELECT * FROM splits WHERE function_id = ?", arguments: [function.text]).map { row in
            guard let revision = RevisionId(row["revision_id"] as String) else { throw RecordsError.damaged }
            return RevisionSplit(
                revision: revision, percent: row["percent"], returnAbove: row["return_above"],
                created: Timestamp(milliseconds: row["created"]), createdBy: row["created_by"])
        }
    }

    /// - Parameter split: nil: the active revision runs all calls.
    public func set(_ split: RevisionSplit?, of function: FunctionId) throws {
        guard let split else { return try db.execute(sql: "DELETE FROM splits WHERE function_id = ?", arguments: [function.text]) }
        try db.execute(
            sql: """
                INSERT OR REPLACE INTO splits (function_id, revision_id, percent, return_above, created, created_by) VALUES (?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                function.text, split.revision.text, split.percent, split.returnAbove, split.created.milliseconds, split.createdBy,
            ])
    }
}
