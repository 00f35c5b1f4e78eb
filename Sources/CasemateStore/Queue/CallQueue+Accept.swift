import CasemateModel
import Foundation
import GRDB

/// What became of a call that was to be accepted.
public enum Acceptance: Sendable, Equatable {
    /// On the disk.
    case accepted
    /// The same request came before; this is its call.
    case known(CallId)
}

extension CallQueue {
    /// Takes the call in; `done` hears once, when it is on the disk or refused.
    ///
    /// Fails with `.rateLimited` where too much waits, `.keyReused` for a key that another request had.
    public func accept(_ call: NewCall, _ done: @Sendable @escaping (Result<Acceptance, any Error>) -> Void) {
        write(
            { [self] db in
                if let key = call.idempotency, let known = try Self.known(key, db) { return Acceptance.known(known) }
                try checkRoom(for: call, db)
                try insert(call, db)
                return .accepted
            }, done)
    }

    private static func known(_ key: NewCall.Idempotency, _ db: Database) throws -> CallId? {
        let row = try db.cachedStatement(
            sql: "SELECT i.request, c.id FROM idempotency i JOIN calls c ON c.seq = i.seq WHERE i.scope = ?")
        guard let found = try Row.fetchOne(row, arguments: [Data(key.scope)]) else { return nil }
        guard [UInt8](found["request"] as Data) == key.request else {
            throw Problem(
                .keyReused, "this Idempotency-Key came with another request before; use another key for another request")
        }
        return CallId(found["id"] as String)
    }

    func checkRoom(for call: NewCall, _ db: Database) throws {
        let ofFunction = depth(of: call.functionId)?.open ?? 0
        let ofNamespace = open(in: call.namespaceId)
        let full: String? =
            if ofFunction >= call.limits.perFunction {
                "\(ofFunction) calls of the function wait or run, as many as its namespace's policy allows"
            } else if ofNamespace.count >= call.limits.perNamespace {
                "\(ofNamespace.count) calls of the namespace wait or run, as many as its policy allows"
            } else if ofNamespace.bytes + call.request.count > call.limits.bytes {
                "what waits in the namespace is as large as its policy allows, \(call.limits.bytes) bytes"
            } else {
                nil
            }
        if let full { throw Problem(.queueFull, "\(full); try again later", retryAfterSeconds: 5) }
        guard try makeRoom(for: call.request.count, call.limits, in: call.namespaceId, db) else {
            throw Problem(
                .queueFull, "what the namespace's calls have stored is as much as its policy allows, \(call.limits.storedBytes) bytes",
                retryAfterSeconds: 60)
        }
    }

    /// Removes what has ended until `bytes` more may be stored: first what succeeded, dead letters last, of each the oldest.
    /// - Returns: whether they may.
    func makeRoom(for bytes: Int, _ limits: QueueLimits, in namespace: NamespaceId, _ db: Database) throws -> Bool {
        func fits() throws -> Bool {
            let kept = try Int.fetchOne(
                try db.cachedStatement(sql: "SELECT bytes FROM kept WHERE namespace_id = ?"), arguments: [namespace.text])
            return (kept ?? 0) + bytes <= limits.storedBytes
        }
        for state in [CallState.succeeded, .cancelled, .failed, .timedOut, .dead] {
            while true {
                if try fits() { return true }
                try db.cachedStatement(
                    sql: """
                        DELETE FROM calls WHERE seq IN (
                            SELECT seq FROM calls WHERE namespace_id = ? AND state = ? ORDER BY created, seq LIMIT 16)
                        """
                ).execute(arguments: [namespace.text, state.rawValue])
                if db.changesCount == 0 { break }
            }
        }
        return try fits()
    }

    func insert(_ call: NewCall, _ db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO calls (id, function_id, namespace_id, created, available, expires, max_attempts, order_key, owner, subject,
                    request_bytes, schedule_id, instant, redrive_of)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(
            arguments: [
                call.id.text, call.functionId.text, call.namespaceId.text, call.created.milliseconds, call.available.milliseconds,
                call.created.milliseconds + call.rules.maxAgeInMilliseconds, call.rules.maxAttempts, call.orderKey.map { Data($0) },
                call.owner,
                call.subject, call.request.count, call.schedule?.id.text, call.schedule?.instant.milliseconds,
                call.redriveOf?.text,
            ])
        let sequence = db.lastInsertedRowID
        try db.cachedStatement(sql: "INSERT INTO requests (seq, sealed) VALUES (?, ?)").execute(
            arguments: [sequence, Data(call.request)])
        if let key = call.idempotency {
            try db.cachedStatement(sql: "INSERT INTO idempotency (scope, request, seq) VALUES (?, ?, ?)").execute(
                arguments: [Data(key.scope), Data(key.request), sequence])
        }
        moved(call.functionId, in: call.namespaceId, queued: 1, bytes: call.request.count)
    }
}
