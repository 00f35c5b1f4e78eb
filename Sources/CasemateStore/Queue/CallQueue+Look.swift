import CasemateModel
import Foundation
import GRDB

/// Which calls somebody asks for, and how far.
public struct CallFilter: Sendable {
    public enum Place: Sendable {
        case function(FunctionId)
        case namespace(NamespaceId)
    }

    public var place: Place
    public var states: [CallState]
    public var schedule: ScheduleId?
    public var since: Timestamp?
    public var until: Timestamp?
    /// What comes behind this one.
    public var after: Cursor?
    public var limit: Int

    /// A place in the list, which is the newest first.
    public struct Cursor: Sendable, Equatable, CustomStringConvertible {
        public let created: Timestamp
        public let sequence: Int64

        public init(_ call: QueuedCall) {
            created = call.created
            sequence = call.sequence
        }

        public init?(_ text: some StringProtocol) {
            let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { Int64($0) }
            guard parts.count == 2, let created = parts[0], let sequence = parts[1] else { return nil }
            self.created = Timestamp(milliseconds: created)
            self.sequence = sequence
        }

        public var description: String { "\(created.milliseconds).\(sequence)" }
    }

    public init(
        place: Place, states: [CallState] = [], schedule: ScheduleId? = nil, since: Timestamp? = nil, until: Timestamp? = nil,
        after: Cursor? = nil, limit: Int
    ) {
        self.place = place
        self.states = states
        self.schedule = schedule
        self.since = since
        self.until = until
        self.after = after
        self.limit = limit
    }
}

extension CallQueue {
    static func call(_ id: CallId, _ db: Database) throws -> QueuedCall? {
        try Row.fetchOne(try db.cachedStatement(sql: "SELECT \(QueuedCall.columns) FROM calls WHERE id = ?"), arguments: [id.text])
            .map(QueuedCall.init(row:))
    }

    public func call(_ id: CallId) async throws -> QueuedCall? { try await database.read { try Self.call(id, $0) } }

    /// With what it answered, sealed; nil where nothing is kept of it.
    public func result(_ id: CallId) async throws -> (call: QueuedCall, sealed: [UInt8]?)? {
        try await database.read { db in
            guard let call = try Self.call(id, db) else { return nil }
            let sealed = try Data.fetchOne(db, sql: "SELECT sealed FROM results WHERE seq = ?", arguments: [call.sequence])
            return (call, sealed.map { [UInt8]($0) })
        }
    }

    /// With what was asked, and who did, sealed.
    public func request(_ id: CallId) async throws -> ClaimedCall? {
        try await database.read { db in
            let row = try Row.fetchOne(
                db,
                sql:
                    "SELECT \(QueuedCall.columns), (SELECT sealed FROM requests r WHERE r.seq = calls.seq) AS sealed FROM calls WHERE id = ?",
                arguments: [id.text])
            return try row.map {
                ClaimedCall(call: try QueuedCall(row: $0), request: [UInt8]($0["sealed"] as Data? ?? Data()))
            }
        }
    }

    /// The newest first. Each state is asked for by an index of its own, so that a page costs a page however many calls there are.
    public func calls(_ filter: CallFilter) async throws -> [QueuedCall] {
        try await database.read { db in
            guard filter.states.count > 1 else { return try Self.page(filter, filter.states.first, db) }
            let pages = try filter.states.flatMap { try Self.page(filter, $0, db) }
            return Array(pages.sorted { ($1.created, $1.sequence) < ($0.created, $0.sequence) }.prefix(filter.limit))
        }
    }

    private static func page(_ filter: CallFilter, _ state: CallState?, _ db: Database) throws -> [QueuedCall] {
        var wanted: [String] = []
        var arguments: [any DatabaseValueConvertible] = []
        func want(_ condition: String, _ values: any DatabaseValueConvertible...) {
            wanted.append(condition)
            arguments += values
        }
        // Of a schedule there are few: its index goes before all others.
        let plus = filter.schedule == nil ? "" : "+"
        switch filter.place {
        case .function(let id): want("\(plus)function_id = ?", id.text)
        case .namespace(let id): want("\(plus)namespace_id = ?", id.text)
        }
        if let state { want("\(plus)state = ?", state.rawValue) }
        if let schedule = filter.schedule { want("schedule_id = ?", schedule.text) }
        if let since = filter.since { want("created >= ?", since.milliseconds) }
        if let until = filter.until { want("created < ?", until.milliseconds) }
        if let after = filter.after { want("(created, seq) < (?, ?)", after.created.milliseconds, after.sequence) }
        arguments.append(filter.limit)
        let sql = """
            SELECT \(QueuedCall.columns) FROM calls WHERE \(wanted.joined(separator: " AND ")) ORDER BY created DESC, seq DESC LIMIT ?
            """
        return try Row.fetchAll(db, sql: sql, arguments: StatementArguments(arguments)).map(QueuedCall.init(row:))
    }

    /// Makes a new call of one that has ended in vain, in its caller's name.
    /// - Returns: the new call's id; that of before where it was done already.
    public func redrive(_ call: ClaimedCall, as new: NewCall) async throws -> CallId {
        try await write { [self] db in
            guard let now = try Self.call(call.call.id, db) else { throw Problem(.notFound, "there is no such call") }
            if let known = now.redrivenAs { return known }
            guard now.state.mayBeRedriven else {
                throw Problem(
                    .conflict, "only what is dead, failed or timedOut can be redriven; this call is \(now.state.rawValue)")
            }
            var new = new
            new.orderKey = try Data.fetchOne(db, sql: "SELECT order_key FROM calls WHERE seq = ?", arguments: [now.sequence]).map {
                [UInt8]($0)
            }
            try checkRoom(for: new, db)
            try insert(new, db)
            try db.execute(sql: "UPDATE calls SET redriven_as = ? WHERE seq = ?", arguments: [new.id.text, now.sequence])
            return new.id
        }
    }

    /// Those that were not made once more, the oldest first.
    public func deadLetters(of function: FunctionId, limit: Int) async throws -> [QueuedCall] {
        try await database.read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT \(QueuedCall.columns) FROM calls WHERE function_id = ? AND state = 'dead' AND redriven_as IS NULL
                    ORDER BY created, seq LIMIT ?
                    """, arguments: [function.text, limit]
            ).map(QueuedCall.init(row:))
        }
    }

    /// Of all functions, those not redriven.
    public func deadLetterCount() async throws -> Int {
        try await database.read { db in
            try Int.fetchOne(db, sql: "SELECT count(*) FROM calls WHERE state = 'dead' AND redriven_as IS NULL") ?? 0
        }
    }

    /// Dead letters that nobody was told of, the oldest first; at most 100.
    public func untoldDeadLetters(after sequence: Int64) async throws -> [QueuedCall] {
        try await database.read { db in
            try Row.fetchAll(
                db, sql: "SELECT \(QueuedCall.columns) FROM calls WHERE state = 'dead' AND told = 0 AND seq > ? ORDER BY seq LIMIT 100",
                arguments: [sequence]
            ).map(QueuedCall.init(row:))
        }
    }

    /// The dead letter was told of, by `letter` if that is not nil: once, also where this is done twice.
    /// - Throws: `.queueFull`: nobody was told yet.
    public func setTold(_ call: QueuedCall, with letter: NewCall?) async throws {
        try await write { [self] db in
            try db.execute(sql: "UPDATE calls SET told = 1 WHERE seq = ? AND told = 0", arguments: [call.sequence])
            guard db.changesCount > 0, let letter else { return }
            try checkRoom(for: letter, db)
            try insert(letter, db)
        }
    }

    /// Removes calls that ended before; at most 500 at once.
    /// - Returns: how many.
    public func removeEnded(before: Timestamp, in namespace: NamespaceId) async throws -> Int {
        try await write { db in
            try db.execute(
                sql: "DELETE FROM calls WHERE seq IN (SELECT seq FROM calls WHERE namespace_id = ? AND finished < ? LIMIT 500)",
                arguments: [namespace.text, before.milliseconds])
            return db.changesCount
        }
    }

    /// Removes all of a function that is gone, 500 at once.
    /// - Parameter most: after so many it stops.
    /// - Returns: whether nothing is left.
    @discardableResult
    public func removeAll(of function: FunctionId, atMost most: Int = .max) async throws -> Bool {
        var total = 0
        while total < most {
            let removed = try await write { [self] db in
                let rows = try Row.fetchAll(
                    db,
                    sql:
                        "DELETE FROM calls WHERE seq IN (SELECT seq FROM calls WHERE function_id = ? LIMIT 500) RETURNING namespace_id, state, request_bytes",
                    arguments: [function.text])
                for row in rows {
                    guard let namespace = NamespaceId(row["namespace_id"] as String), let state = CallState(rawValue: row["state"]) else {
                        continue
                    }
                    if state.isFinal { continue }
                    moved(
                        function, in: namespace, queued: state == .queued ? -1 : 0, running: state == .running ? -1 : 0,
                        bytes: -(row["request_bytes"] as Int))
                }
                return rows.count
            }
            if removed < 500 { return true }
            total += removed
        }
        return false
    }

    /// Functions of which there are calls.
    public func functions() async throws -> [FunctionId] {
        try await database.read { db in
            // One step through the index for each function, however many calls each has.
            try String.fetchAll(
                db,
                sql: """
                    WITH RECURSIVE f(id) AS (
                        SELECT min(function_id) FROM calls
                        UNION ALL SELECT (SELECT min(function_id) FROM calls WHERE function_id > f.id) FROM f WHERE f.id IS NOT NULL)
                    SELECT id FROM f WHERE id IS NOT NULL
                    """)
        }.compactMap { FunctionId($0) }
    }
}
