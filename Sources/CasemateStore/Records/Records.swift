import CasemateModel
import GRDB

/// The durable records of one server: SQLite in WAL mode, every commit on disk before it is answered.
///
/// Errors of the database surface as they are; callers turn them into problems without their text.
public struct Records: Sendable {
    let database: DatabaseQueue
    private let audit: AuditLog?

    /// - Parameter audit: where what a transaction records goes; nil for none, in tests.
    /// - Parameter mayBegin: whether a database without anything may be begun.
    /// - Throws: `RecordsError.newerSchema` for a database of a later release.
    public init(path: String, audit: AuditLog? = nil, mayBegin: Bool = true) throws {
        self.audit = audit
        var configuration = Configuration()
        configuration.foreignKeysEnabled = true
        configuration.prepareDatabase { db in
            // What another program wrote there is left as it is.
            let isOurs = try db.tableExists("grdb_migrations")
            let isEmpty = try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master") == 0
            guard isOurs || (isEmpty && mayBegin) else { throw isEmpty ? RecordsError.missing : .foreign }
            try db.execute(sql: "PRAGMA journal_mode = WAL")
            // An acknowledged change survives a power cut (sqlite.org/pragma.html#pragma_synchronous).
            try db.execute(sql: "PRAGMA synchronous = FULL")
            // A deleted key or secret is overwritten, not just unlinked.
            try db.execute(sql: "PRAGMA secure_delete = ON")
        }
        do {
            database = try DatabaseQueue(path: path, configuration: configuration)
            let newer = try database.read { db in try Migrations.migrator.hasBeenSuperseded(db) }
            guard !newer else { throw RecordsError.newerSchema }
            try Migrations.migrator.migrate(database)
            let fault = try database.read { db in try String.fetchOne(db, sql: "PRAGMA quick_check(1)") }
            guard fault == "ok" else { throw RecordsError.damaged }
        } catch let error as DatabaseError where [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(error.resultCode) {
            throw RecordsError.damaged
        }
    }

    /// All changes of `body` or none. What it records is on disk before they count: a change that can't be recorded is none.
    /// - Throws: `.auditUnavailable` for that; what `body` throws.
    public func write<T: Sendable>(_ body: @Sendable @escaping (Transaction) throws -> T) async throws -> T {
        let context = AuditContext.current
        let events = RecordedEvents()
        do {
            return try await database.write { [audit] db in
                let result = try body(Transaction(db: db, events: events))
                let recorded = events.all.map { context?.completing($0) ?? $0 }
                if let audit {
                    do { try audit.append(recorded) } catch { throw Problem.auditUnavailable }
                }
                context?.countRecords(recorded.count)
                events.areWritten = true
                return result
            }
        } catch {
            // Recorded, and then the database did not take it.
            if events.areWritten {
                for event in events.all {
                    var failed = context?.completing(event) ?? event
                    failed.outcome = .failed
                    audit?.add(failed)
                }
            }
            throw error
        }
    }

    /// A copy as the database is at one moment, while others go on reading and writing it; the file must not exist.
    public func copy(to path: String) async throws {
        try await database.writeWithoutTransaction { db in try db.execute(sql: "VACUUM INTO ?", arguments: [path]) }
    }

    /// Writes what the log of changes still has into the database and empties it: what was deleted is then in neither.
    public func compact() async throws {
        _ = try await database.writeWithoutTransaction { db in try db.checkpoint(.truncate) }
    }

    public func read<T: Sendable>(_ body: @Sendable @escaping (Transaction) throws -> T) async throws -> T {
        try await database.read { db in try body(Transaction(db: db, events: nil)) }
    }
}

extension Problem {
    /// Nothing that must be recorded happens while it can't be.
    public static let auditUnavailable = Problem(
        .auditUnavailable, "the audit log can't be written, so nothing is changed; the server's log says why", retryAfterSeconds: 5)
}

/// What one transaction records.
final class RecordedEvents: @unchecked Sendable {
    // SAFETY: touched by the database's queue, and by whoever waits for that once it is done.
    var all: [AuditEvent] = []
    var areWritten = false
}

public enum RecordsError: Error, CustomStringConvertible {
    case newerSchema, damaged, missing, foreign

    public var description: String {
        switch self {
        case .newerSchema: "the database was written by a newer release of Casemate; start that release, or restore a backup of this one"
        case .missing:
            "the database casemate.db is not there, though the keys beside it are: put it back, or restore a backup; for a new server give an empty folder"
        case .foreign: "casemate.db is another program's database; put back the one that was there, or restore a backup"
        case .damaged: "the database is damaged; it is left as it is: restore a backup (casemate restore), or look at it with sqlite3"
        }
    }
}

/// What can be asked and changed within one transaction. Lives only as long as it.
public struct Transaction {
    let db: Database
    let events: RecordedEvents?

    /// Has `event` recorded with what this transaction changes: both or neither.
    public func record(_ event: AuditEvent) { events?.all.append(event) }

    public func record(_ kind: AuditKind, _ scope: AuditEvent.Scope, _ details: [String: String] = [:]) {
        record(AuditEvent(kind, scope, details))
    }
}
