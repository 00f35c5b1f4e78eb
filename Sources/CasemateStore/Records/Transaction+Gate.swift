import CasemateModel
import Foundation
import GRDB

/// What the gate found, and what somebody lets pass.
extension Transaction {
    // MARK: Waivers

    public func waivers(in namespace: NamespaceId, of function: FunctionLabel? = nil) throws -> [Waiver] {
        try Row.fetchAll(
            db, sql: "SELECT * FROM waivers WHERE namespace_id = ? AND (? IS NULL OR function = ?) ORDER BY created, id",
            arguments: [namespace.text, function?.text, function?.text]
        ).map(Waiver.init(row:))
    }

    public func insert(_ waiver: Waiver) throws {
        try db.execute(
            sql:
                "INSERT INTO waivers (id, namespace_id, function, finding, reason, expires, created, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            arguments: [
                waiver.id.text, waiver.namespaceId.text, waiver.function.text, waiver.finding.text, waiver.reason,
                waiver.expires.milliseconds, waiver.created.milliseconds, waiver.createdBy,
            ])
    }

    /// Whether there was one.
    public func deleteWaiver(_ id: WaiverId) throws -> Bool {
        try db.execute(sql: "DELETE FROM waivers WHERE id = ?", arguments: [id.text])
        return db.changesCount > 0
    }

    // MARK: Reports

    /// What a deployment was last held up for, whether or not the function exists; nil where none was, or one has passed since.
    public func gateReport(of function: FunctionLabel, in namespace: NamespaceId) throws -> GateReport? {
        try Row.fetchOne(
            db, sql: "SELECT * FROM gate_reports WHERE namespace_id = ? AND function = ?", arguments: [namespace.text, function.text]
        ).map {
            GateReport(
                findings: try JSONDecoder().decode([Diagnostic].self, from: $0["findings"] as Data),
                created: Timestamp(milliseconds: $0["created"]))
        }
    }

    /// The oldest give way: names of functions that never came to be are anybody's who may deploy.
    public func set(_ report: GateReport?, of function: FunctionLabel, in namespace: NamespaceId) throws {
        guard let report else {
            return try db.execute(
                sql: "DELETE FROM gate_reports WHERE namespace_id = ? AND function = ?", arguments: [namespace.text, function.text])
        }
        try db.execute(
            sql: "INSERT OR REPLACE INTO gate_reports (namespace_id, function, findings, created) VALUES (?, ?, ?, ?)",
            arguments: [namespace.text, function.text, try JSONEncoder().encode(report.findings), report.created.milliseconds])
        try db.execute(
            sql: """
                DELETE FROM gate_reports WHERE namespace_id = ?1 AND function NOT IN
                    (SELECT function FROM gate_reports WHERE namespace_id = ?1 ORDER BY created DESC LIMIT 1000)
                """, arguments: [namespace.text])
    }

    // MARK: Advisories

    public func advisoryDatabase() throws -> AdvisoryDatabase? {
        try Row.fetchOne(db, sql: "SELECT * FROM advisory_database").map {
            AdvisoryDatabase(
                records: $0["records"], newest: Timestamp(milliseconds: $0["newest"]), imported: Timestamp(milliseconds: $0["imported"]),
                importedBy: $0["imported_by"], digest: $0["digest"])
        }
    }

    /// All of them anew: what is not among `advisories` is forgotten.
    public func replaceAdvisories(_ advisories: [StoredAdvisory], _ about: AdvisoryDatabase) throws {
        try db.execute(sql: "DELETE FROM advisories")
        let insert = try db.makeStatement(sql: "INSERT OR REPLACE INTO advisories (package, id, record) VALUES (?, ?, ?)")
        for advisory in advisories { try insert.execute(arguments: [advisory.package, advisory.id, Data(advisory.record)]) }
        try db.execute(
            sql: "INSERT OR REPLACE INTO advisory_database (one, records, newest, imported, imported_by, digest) VALUES (1, ?, ?, ?, ?, ?)",
            arguments: [
                about.records, about.newest.milliseconds, about.imported.milliseconds, about.importedBy, about.digest,
            ])
    }

    /// JSON records of those for any of `packages`.
    public func advisories(for packages: Set<String>) throws -> [[UInt8]] {
        var found: [[UInt8]] = []
        let select = try db.makeStatement(sql: "SELECT record FROM advisories WHERE package = ?")
        for package in packages.sorted() { found += try Data.fetchAll(select, arguments: [package]).map { [UInt8]($0) } }
        return found
    }

    // MARK: Advisories for what is live

    /// Nil where it was not looked at yet.
    public func liveAdvisories(of revision: RevisionId) throws -> [Diagnostic]? {
        try Data.fetchOne(db, sql: "SELECT findings FROM live_advisories WHERE revision_id = ?", arguments: [revision.text]).map {
            try JSONDecoder().decode([Diagnostic].self, from: $0)
        }
    }

    /// - Parameter grave: how many of them would stop a deployment.
    public func setLiveAdvisories(_ findings: [Diagnostic], grave: Int, of revision: RevisionId, at time: Timestamp) throws {
        try db.execute(
            sql: "INSERT OR REPLACE INTO live_advisories (revision_id, findings, grave, looked) VALUES (?, ?, ?, ?)",
            arguments: [revision.text, try JSONEncoder().encode(findings), grave, time.milliseconds])
    }

    /// How many live functions have a grave advisory, and how many are disabled.
    public func gateCounts() throws -> (vulnerable: Int, disabled: Int) {
        (
            try Int.fetchOne(
                db,
                sql: "SELECT count(*) FROM functions f JOIN live_advisories l ON l.revision_id = f.active_revision WHERE l.grave > 0") ?? 0,
            try Int.fetchOne(db, sql: "SELECT count(*) FROM functions WHERE disabled IS NOT NULL") ?? 0
        )
    }
}

extension Waiver {
    init(row: Row) throws {
        guard let id = WaiverId(row["id"] as String), let namespaceId = NamespaceId(row["namespace_id"] as String),
            let function = FunctionLabel(row["function"] as String), let finding = FindingId(row["finding"] as String)
        else { throw RecordsError.damaged }
        self.init(
            id: id, namespaceId: namespaceId, function: function, finding: finding, reason: row["reason"],
            expires: Timestamp(milliseconds: row["expires"]), created: Timestamp(milliseconds: row["created"]), createdBy: row["created_by"]
        )
    }
}
