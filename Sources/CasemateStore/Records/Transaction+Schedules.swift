import CasemateModel
import Foundation
import GRDB

extension Transaction {
    public func schedules() throws -> [Schedule] {
        try Row.fetchAll(db, sql: "SELECT * FROM schedules ORDER BY function_id, name").compactMap(Schedule.init(row:))
    }

    public func schedules(of function: FunctionId) throws -> [Schedule] {
        try Row.fetchAll(db, sql: "SELECT * FROM schedules WHERE function_id = ? ORDER BY name", arguments: [function.text])
            .compactMap(Schedule.init(row:))
    }

    public func schedule(_ id: ScheduleId) throws -> Schedule? {
        try Row.fetchOne(db, sql: "SELECT * FROM schedules WHERE id = ?", arguments: [id.text]).flatMap(Schedule.init(row:))
    }

    public func scheduleCount(in namespace: NamespaceId) throws -> Int {
        try Int.fetchOne(
            db, sql: "SELECT count(*) FROM schedules s JOIN functions f ON f.id = s.function_id WHERE f.namespace_id = ?",
            arguments: [namespace.text]) ?? 0
    }

    public func insert(_ schedule: Schedule) throws {
        try db.execute(
            sql: """
                INSERT INTO schedules (id, function_id, name, cron, time_zone, jitter, missed, is_paused, input, account_id, is_of_manifest,
                    created, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                schedule.id.text, schedule.functionId.text, schedule.name.text, schedule.cron.description, schedule.timeZone,
                schedule.jitterInSeconds, schedule.missed.rawValue, schedule.isPaused, schedule.input.map { Data($0) },
                schedule.account?.text,
                schedule.isOfManifest, schedule.created.milliseconds, schedule.createdBy,
            ])
    }

    /// False where there is none.
    public func delete(_ schedule: ScheduleId) throws -> Bool {
        try db.execute(sql: "DELETE FROM schedules WHERE id = ?", arguments: [schedule.text])
        return db.changesCount > 0
    }

    public func setPaused(_ isPaused: Bool, _ schedule: ScheduleId) throws {
        try db.execute(sql: "UPDATE schedules SET is_paused = ? WHERE id = ?", arguments: [isPaused, schedule.text])
    }

    /// Makes those that a manifest has what the active revision's says. One that goes on under its name keeps its id, and stays paused.
    /// Their inputs stay in the revision's spec.
    public func setManifestSchedules(_ specs: [ScheduleSpec], of function: FunctionId, by author: String) throws {
        let known = try schedules(of: function)
        for old in known where old.isOfManifest && !specs.contains(where: { $0.name == old.name }) { _ = try delete(old.id) }
        for spec in specs {
            let before = known.first { $0.name == spec.name }
            // Somebody has one of that name: the gate told whoever deployed.
            if let before, !before.isOfManifest { continue }
            guard let cron = try? CronExpression(spec.cron) else { continue }
            let wanted = Schedule(
                id: before?.id ?? ScheduleId(), functionId: function, name: spec.name, cron: cron, timeZone: spec.timeZone,
                jitterInSeconds: spec.jitterInSeconds ?? 0, missed: spec.missed ?? .skip, isPaused: before?.isPaused ?? false, input: nil,
                account: nil, isOfManifest: true, created: before?.created ?? .now, createdBy: before?.createdBy ?? author)
            guard wanted != before else { continue }
            if let before { _ = try delete(before.id) }
            try insert(wanted)
        }
        guard let namespace = try self.function(function)?.namespaceId, try scheduleCount(in: namespace) > Schedule.mostOfNamespace else {
            return
        }
        throw Problem(.conflict, "the namespace would have more than \(Schedule.mostOfNamespace) schedules; remove some triggers first")
    }
}

extension Schedule {
    /// Nil for a row of an older release whose expression means nothing any more.
    init?(row: Row) {
        guard let id = ScheduleId(row["id"] as String), let function = FunctionId(row["function_id"] as String),
            let name = FunctionLabel(row["name"] as String), let cron = try? CronExpression(row["cron"] as String),
            let missed = Missed(rawValue: row["missed"])
        else { return nil }
        self.init(
            id: id, functionId: function, name: name, cron: cron, timeZone: row["time_zone"], jitterInSeconds: row["jitter"],
            missed: missed,
            isPaused: row["is_paused"], input: (row["input"] as Data?).map { [UInt8]($0) },
            account: (row["account_id"] as String?).flatMap { AccountId($0) }, isOfManifest: row["is_of_manifest"],
            created: Timestamp(milliseconds: row["created"]), createdBy: row["created_by"])
    }
}
