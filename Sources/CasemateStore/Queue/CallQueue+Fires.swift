import CasemateModel
import GRDB

/// What became of one of a schedule's times.
public struct Fire: Sendable, Equatable {
    public enum Outcome: String, Sendable {
        case fired
        /// It passed while nobody could heed it.
        case skipped
        /// Its call was not accepted, and why is in the log.
        case refused
    }

    public let instant: Timestamp
    public let outcome: Outcome
    /// Times before this one that passed unheeded.
    public let missed: Int
    public let call: CallId?
    public let at: Timestamp
}

extension CallQueue {
    /// Kept of each schedule: those that a clock set back could bring again are among them.
    private static let kept = 2_000

    /// Accepts the call of an instant, once and for all: whoever asks again for the same instant gets false.
    public func fire(_ call: NewCall, of schedule: ScheduleId, at instant: Timestamp, missed: Int) async throws -> Bool {
        try await write { [self] db in
            guard try Self.note(instant, of: schedule, .fired, missed, call.id, db) else { return false }
            try checkRoom(for: call, db)
            try insert(call, db)
            return true
        }
    }

    /// An instant has no call.
    /// - Parameter outcome: not `.fired`.
    public func pass(_ instant: Timestamp, of schedule: ScheduleId, _ outcome: Fire.Outcome, missed: Int) async throws -> Bool {
        try await write { db in try Self.note(instant, of: schedule, outcome, missed, nil, db) }
    }

    private static func note(
        _ instant: Timestamp, of schedule: ScheduleId, _ outcome: Fire.Outcome, _ missed: Int, _ call: CallId?, _ db: Database
    ) throws -> Bool {
        try db.cachedStatement(
            sql: "INSERT INTO fires (schedule_id, instant, outcome, missed, call_id, at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        ).execute(
            arguments: [schedule.text, instant.milliseconds, outcome.rawValue, missed, call?.text, Timestamp.now.milliseconds])
        guard db.changesCount > 0 else { return false }
        try setCursor(instant, of: schedule, db)
        return true
    }

    /// What is before this was heeded, or need not be.
    public func setCursor(_ instant: Timestamp, of schedule: ScheduleId) async throws {
        try await write { db in try Self.setCursor(instant, of: schedule, db) }
    }

    private static func setCursor(_ instant: Timestamp, of schedule: ScheduleId, _ db: Database) throws {
        try db.cachedStatement(
            sql: "INSERT INTO schedule_cursors VALUES (?, ?) ON CONFLICT (schedule_id) DO UPDATE SET cursor = excluded.cursor"
        ).execute(arguments: [schedule.text, instant.milliseconds])
    }

    public func cursors() async throws -> [ScheduleId: Timestamp] {
        try await database.read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM schedule_cursors").reduce(into: [:]) { all, row in
                if let id = ScheduleId(row["schedule_id"] as String) { all[id] = Timestamp(milliseconds: row["cursor"]) }
            }
        }
    }

    /// The newest first, each with the state of its call while that is kept.
    public func fires(of schedule: ScheduleId, limit: Int) async throws -> [(fire: Fire, state: CallState?)] {
        try await database.read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT f.*, c.state FROM fires f LEFT JOIN calls c ON c.id = f.call_id WHERE f.schedule_id = ?
                    ORDER BY f.number DESC LIMIT ?
                    """, arguments: [schedule.text, limit]
            ).compactMap { row in
                guard let outcome = Fire.Outcome(rawValue: row["outcome"]) else { return nil }
                let fire = Fire(
                    instant: Timestamp(milliseconds: row["instant"]), outcome: outcome, missed: row["missed"],
                    call: (row["call_id"] as String?).flatMap { CallId($0) }, at: Timestamp(milliseconds: row["at"]))
                return (fire, (row["state"] as String?).flatMap { CallState(rawValue: $0) })
            }
        }
    }

    /// Forgets what is more than is kept of each schedule: by how many there are, not by their age, for the clock may be wrong.
    public func pruneFires() async throws {
        for id in try await cursors().keys {
            try await write { db in
                try db.cachedStatement(
                    sql: """
                        DELETE FROM fires WHERE schedule_id = ?1 AND number <= (
                            SELECT number FROM fires WHERE schedule_id = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)
                        """
                ).execute(arguments: [id.text, Self.kept])
            }
        }
    }

    /// Forgets what schedules did that are gone.
    public func removeFires(exceptOf kept: Set<ScheduleId>) async throws {
        try await write { db in
            for text in try String.fetchAll(db, sql: "SELECT schedule_id FROM schedule_cursors") {
                guard ScheduleId(text).map({ !kept.contains($0) }) ?? true else { continue }
                try db.execute(sql: "DELETE FROM fires WHERE schedule_id = ?", arguments: [text])
                try db.execute(sql: "DELETE FROM schedule_cursors WHERE schedule_id = ?", arguments: [text])
            }
        }
    }
}
