import CasemateModel
import Foundation
import GRDB

/// What workers do: claim, end, give back. Each claim has a number, and whatever is said of a call counts only under the newest.
extension CallQueue {
    /// How long a claim is its worker's, should that stop without ending. Renewed while it lives.
    public static let leaseInMilliseconds: Int64 = 30_000

    /// The condition of the index of what has not ended, in its own words: else SQLite does not take it (sqlite.org/partialindex.html §3).
    private static let isOpen = "state IN ('queued', 'running')"

    /// The next calls of a function that may run, as many as `limit`, in the order in which they came. Too old ones become dead letters
    /// instead.
    public func claim(
        _ limit: Int, of function: FunctionId, at now: Timestamp,
        _ done: @Sendable @escaping (Result<(claimed: [ClaimedCall], tooOld: [QueuedCall]), any Error>) -> Void
    ) {
        write(
            { [self] db in
                let old = try expire(of: function, at: now, db)
                let rows = try db.cachedStatement(
                    sql: """
                        UPDATE calls SET state = 'running', fence = fence + 1, worker = ?, lease_until = ?, started = ? WHERE seq IN (
                            SELECT seq FROM calls WHERE function_id = ? AND state = 'queued' AND blocked = 0 AND available <= ?
                            ORDER BY available, seq LIMIT ?)
                        RETURNING \(QueuedCall.columns), (SELECT sealed FROM requests WHERE requests.seq = calls.seq) AS sealed
                        """)
                let claimed = try Row.fetchAll(
                    rows,
                    arguments: [
                        worker, now.milliseconds + Self.leaseInMilliseconds, now.milliseconds, function.text, now.milliseconds, limit,
                    ]
                ).map { row in
                    ClaimedCall(
                        call: try QueuedCall(row: row), request: [UInt8](row["sealed"] as Data? ?? Data()))
                }.sorted { ($0.call.available, $0.call.sequence) < ($1.call.available, $1.call.sequence) }
                if let first = claimed.first {
                    moved(function, in: first.call.namespaceId, queued: -claimed.count, running: claimed.count)
                }
                return (claimed, old)
            }, done)
    }

    /// Ends calls that waited too long, also of functions that nothing is claimed of.
    public func expire(at now: Timestamp) async throws -> [QueuedCall] {
        try await write { [self] db in
            // One look in the index for each function that has any open.
            try open.filter { $0.value.queued > 0 }.keys.flatMap { try expire(of: $0, at: now, db) }
        }
    }

    /// Ends calls of the function that waited too long.
    private func expire(of function: FunctionId, at now: Timestamp, _ db: Database) throws -> [QueuedCall] {
        guard
            try Bool.fetchOne(
                try db.cachedStatement(
                    sql:
                        "SELECT EXISTS (SELECT 1 FROM calls WHERE function_id = ? AND state = 'queued' AND expires <= ? AND \(Self.isOpen))"
                ),
                arguments: [function.text, now.milliseconds]) == true
        else { return [] }
        let rows = try db.cachedStatement(
            sql: """
                UPDATE calls SET state = 'dead', finished = ?, problem = coalesce(problem, 'too-old'),
                    detail = coalesce(detail, 'it did not run within its time')
                WHERE seq IN (SELECT seq FROM calls WHERE function_id = ? AND state = 'queued' AND expires <= ? AND \(Self.isOpen) LIMIT 500)
                RETURNING \(QueuedCall.columns)
                """)
        let old = try Row.fetchAll(rows, arguments: [now.milliseconds, function.text, now.milliseconds]).map(QueuedCall.init(row:))
        for call in old { moved(function, in: call.namespaceId, queued: -1, bytes: -call.requestBytes) }
        return old
    }

    /// The call has ended under this claim; nil where that was not the newest, and counts for nothing.
    /// - Parameters:
    ///   - state: final.
    ///   - result: sealed; nil for none that is kept.
    ///   - limits: of its namespace; a result for which there is no room is not kept.
    public func end(
        _ call: QueuedCall, _ state: CallState, _ outcome: AttemptOutcome, result: [UInt8]?, limits: QueueLimits = QueueLimits(),
        at now: Timestamp,
        _ done: @Sendable @escaping (Result<QueuedCall?, any Error>) -> Void
    ) {
        write(
            { [self] db in
                // While the call itself has not ended, so that it is not what makes room.
                let isKept = try result.map { try makeRoom(for: $0.count, limits, in: call.namespaceId, db) } ?? false
                let statement = try db.cachedStatement(
                    sql: """
                        UPDATE calls SET state = ?, finished = ?, attempts = attempts + 1, status = ?, problem = ?, detail = ?, revision = ?,
                            worker = NULL, lease_until = NULL
                        WHERE seq = ? AND fence = ? AND state = 'running' RETURNING \(QueuedCall.columns)
                        """)
                let row = try Row.fetchOne(
                    statement,
                    arguments: [
                        state.rawValue, now.milliseconds, outcome.status, outcome.problem, outcome.detail, outcome.revision, call.sequence,
                        call.fence,
                    ])
                guard let ended = try row.map(QueuedCall.init(row:)) else { return nil }
                if let result, isKept {
                    try db.cachedStatement(sql: "INSERT INTO results (seq, sealed) VALUES (?, ?)").execute(
                        arguments: [call.sequence, Data(result)])
                }
                moved(call.functionId, in: call.namespaceId, running: -1, bytes: -call.requestBytes)
                return ended
            }, done)
    }

    /// The call is to be tried again, not before `available`.
    /// - Parameter counts: whether this was an attempt of its own; false where it did not begin to run.
    public func giveBack(
        _ call: QueuedCall, until available: Timestamp, counts: Bool, _ outcome: AttemptOutcome,
        _ done: @Sendable @escaping (Result<Bool, any Error>) -> Void
    ) {
        write(
            { [self] db in
                try db.cachedStatement(
                    sql: """
                        UPDATE calls SET state = 'queued', available = ?, attempts = attempts + ?, status = ?, problem = ?, detail = ?,
                            revision = coalesce(?, revision), worker = NULL, lease_until = NULL
                        WHERE seq = ? AND fence = ? AND state = 'running'
                        """
                ).execute(
                    arguments: [
                        available.milliseconds, counts ? 1 : 0, outcome.status, outcome.problem, outcome.detail, outcome.revision,
                        call.sequence,
                        call.fence,
                    ])
                guard db.changesCount > 0 else { return false }
                moved(call.functionId, in: call.namespaceId, queued: 1, running: -1)
                return true
            }, done)
    }

    /// This worker lives, and has what it has.
    public func renewLeases(at now: Timestamp) async throws {
        try await write { [worker] db in
            try db.cachedStatement(sql: "UPDATE calls SET lease_until = ? WHERE worker = ? AND state = 'running' AND \(Self.isOpen)")
                .execute(
                    arguments: [now.milliseconds + Self.leaseInMilliseconds, worker])
        }
    }

    /// Takes back what workers had that are gone, or whose lease has run out, for another attempt. One whose only attempt it was has
    /// failed: nobody knows how far it came.
    /// - Parameter isGone: whether a worker has ended.
    public func takeBack(at now: Timestamp, isGone: @Sendable @escaping (String) -> Bool) async throws -> [QueuedCall] {
        try await write { [self] db in
            let rows = try Row.fetchAll(
                db,
                sql:
                    "SELECT \(QueuedCall.columns), worker, lease_until FROM calls WHERE state = 'running' AND worker IS NOT ? AND \(Self.isOpen)",
                arguments: [worker])
            var taken: [QueuedCall] = []
            for row in rows where isGone(row["worker"] ?? "") || (row["lease_until"] as Int64? ?? 0) <= now.milliseconds {
                let call = try QueuedCall(row: row)
                taken.append(call)
                // Who asked for one attempt gets no second. Others are not given up for what may not be their fault; but what ends a server
                // each time it runs must not go on for ever.
                let isLast = call.maxAttempts == 1 || call.attempts + 1 >= max(call.maxAttempts, Self.mostInterruptions)
                try db.cachedStatement(
                    sql: """
                        UPDATE calls SET state = ?, finished = ?, attempts = attempts + 1, available = ?, problem = 'interrupted',
                            detail = 'the server ended while it ran', worker = NULL, lease_until = NULL WHERE seq = ?
                        """
                ).execute(
                    arguments: [
                        isLast ? (call.maxAttempts == 1 ? CallState.failed : .dead).rawValue : CallState.queued.rawValue,
                        isLast ? now.milliseconds : nil, now.milliseconds, call.sequence,
                    ])
                moved(
                    call.functionId, in: call.namespaceId, queued: isLast ? 0 : 1, running: -1, bytes: isLast ? -call.requestBytes : 0)
            }
            return taken
        }
    }

    private static let mostInterruptions = 10

    /// Cancels a call that has not ended.
    /// - Returns: the call as it is now, and as it was; nil where there is none.
    public func cancel(_ id: CallId, by subject: String, at now: Timestamp) async throws -> (call: QueuedCall, wasRunning: Bool)? {
        try await write { [self] db in
            guard let call = try Self.call(id, db) else { return nil }
            guard !call.state.isFinal else { throw Problem(.conflict, "the call has ended already: it is \(call.state.rawValue)") }
            let statement = try db.cachedStatement(
                sql: """
                    UPDATE calls SET state = 'cancelled', finished = ?, problem = 'cancelled', detail = ?, worker = NULL, lease_until = NULL
                    WHERE seq = ? RETURNING \(QueuedCall.columns)
                    """)
            guard let row = try Row.fetchOne(statement, arguments: [now.milliseconds, "cancelled by \(subject)", call.sequence]) else {
                return nil
            }
            let wasRunning = call.state == .running
            moved(
                call.functionId, in: call.namespaceId, queued: wasRunning ? 0 : -1, running: wasRunning ? -1 : 0, bytes: -call.requestBytes)
            return (try QueuedCall(row: row), wasRunning)
        }
    }

    /// The wall clock was set: what waits waits as long as before. First in whatever is written next, so that nothing is looked at, or put
    /// beside it, by another clock.
    static func shift(byMilliseconds delta: Int64, _ db: Database) throws {
        try db.execute(
            sql: "UPDATE calls SET available = available + ?1, expires = expires + ?1 WHERE state IN ('queued', 'running')",
            arguments: [delta])
        try db.execute(sql: "UPDATE calls SET lease_until = lease_until + ? WHERE state = 'running' AND \(isOpen)", arguments: [delta])
    }

    /// When the next call of the function may run that may not yet; nil for none.
    public func nextAvailable(of function: FunctionId) async throws -> Timestamp? {
        try await database.read { db in
            try Int64.fetchOne(
                db,
                sql: "SELECT available FROM calls WHERE function_id = ? AND state = 'queued' AND blocked = 0 ORDER BY available LIMIT 1",
                arguments: [function.text])
        }.map(Timestamp.init(milliseconds:))
    }
}
