import CasemateModel
import GRDB

/// The durable records of one server: SQLite in WAL mode, every commit on disk before it is answered.
///
/// Errors of the database surface as they are; callers turn them into problems without their text.
public struct Records: Sendable {
    let database: DatabaseQueue

    /// - Throws: `RecordsError.newerSchema` for a database of a later release.
    public init(path: String) throws {
        var configuration = Configuration()
        configuration.foreignKeysEnabled = true
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA journal_mode = WAL")
            // An acknowledged change survives a power cut (sqlite.org/pragma.html#pragma_synchronous).
            try db.execute(sql: "PRAGMA synchronous = FULL")
            // A deleted key or secret is overwritten, not just unlinked.
            try db.execute(sql: "PRAGMA secure_delete = ON")
        }
        database = try DatabaseQueue(path: path, configuration: configuration)
        let newer = try database.read { db in try Migrations.migrator.hasBeenSuperseded(db) }
        guard !newer else { throw RecordsError.newerSchema }
        try Migrations.migrator.migrate(database)
        let fault = try database.read { db in try String.fetchOne(db, sql: "PRAGMA quick_check(1)") }
        guard fault == "ok" else { throw RecordsError.damaged }
    }

    /// All changes of `body` or none.
    public func write<T: Sendable>(_ body: @Sendable @escaping (Transaction) throws -> T) async throws -> T {
        try await database.write { db in try body(Transaction(db: db)) }
    }

    public func read<T: Sendable>(_ body: @Sendable @escaping (Transaction) throws -> T) async throws -> T {
        try await database.read { db in try body(Transaction(db: db)) }
    }
}

public enum RecordsError: Error, CustomStringConvertible {
    case newerSchema, damaged

    public var description: String {
        switch self {
        case .newerSchema: "the database was written by a newer release of Casemate; start that release, or restore a backup of this one"
        case .damaged: "the database is damaged (SQLite's quick_check failed); restore a backup"
        }
    }
}

/// What can be asked and changed within one transaction. Lives only as long as it.
public struct Transaction {
    let db: Database
}
