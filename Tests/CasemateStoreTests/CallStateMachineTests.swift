import CasemateModel
import Foundation
import GRDB
import Testing

@testable import CasemateStore

/// The same rules stand twice, in Swift for people and in the database for good: they are held against each other.
@Suite("What a call may become")
struct CallStateMachineTests {
    let database: DatabaseQueue

    init() throws {
        database = try DatabaseQueue()
        try QueueSchema.migrator.migrate(database)
    }

    private func row(_ db: Database, in state: CallState) throws -> Int64 {
        try db.execute(
            sql: """
                INSERT INTO calls (id, function_id, namespace_id, created, available, expires, max_attempts, owner, subject, request_bytes)
                VALUES (?, 'f', 'n', 0, 0, 9, 3, 'o', 's', 1)
                """, arguments: [CallId().text])
        let sequence = db.lastInsertedRowID
        guard state != .queued else { return sequence }
        if state != .cancelled { try db.execute(sql: "UPDATE calls SET state = 'running', fence = 1 WHERE seq = ?", arguments: [sequence]) }
        if state != .running {
            try db.execute(sql: "UPDATE calls SET state = ?, finished = 1 WHERE seq = ?", arguments: [state.rawValue, sequence])
        }
        return sequence
    }

    @Test("the database lets a call go where CallState says, and nowhere else", arguments: CallState.allCases, CallState.allCases)
    func ways(from: CallState, to: CallState) throws {
        guard from != to else { return }
        let isAllowed = try database.write { db in
            let sequence = try row(db, in: from)
            let claims = to == .running ? ", fence = fence + 1" : ""
            do {
                try db.execute(
                    sql: "UPDATE calls SET state = ?, finished = ?\(claims) WHERE seq = ?",
                    arguments: [to.rawValue, to.isFinal ? 2 : nil, sequence])
                return true
            } catch is DatabaseError { return false }
        }
        #expect(isAllowed == from.next.contains(to))
    }

    @Test("random changes never undo an end, lower a fence or give a call two results", arguments: 1...20)
    func property(seed: UInt64) throws {
        var random = SplitMix(seed)
        try database.write { db in
            let sequences = try (0..<5).map { _ in try row(db, in: .queued) }
            var ends: [Int64: String] = [:]
            var fences: [Int64: Int64] = [:]
            for _ in 0..<400 {
                let sequence = sequences.randomElement(using: &random)!
                let state = CallState.allCases.randomElement(using: &random)!
                let sql = [
                    "UPDATE calls SET state = '\(state.rawValue)', finished = \(state.isFinal ? "5" : "NULL"), fence = fence + \(Int.random(in: -1...1, using: &random)) WHERE seq = \(sequence)",
                    "UPDATE calls SET fence = fence + \(Int.random(in: -1...1, using: &random)) WHERE seq = \(sequence)",
                    "UPDATE calls SET attempts = attempts + \(Int.random(in: -1...2, using: &random)) WHERE seq = \(sequence)",
                    "UPDATE calls SET status = \(Int.random(in: 200...500, using: &random)) WHERE seq = \(sequence)",
                    "INSERT INTO results VALUES (\(sequence), x'\(Int.random(in: 10...99, using: &random))')",
                    "UPDATE results SET sealed = x'00' WHERE seq = \(sequence)",
                ].randomElement(using: &random)!
                try? db.execute(sql: sql)
                let row = try #require(try Row.fetchOne(db, sql: "SELECT * FROM calls WHERE seq = ?", arguments: [sequence]))
                let now = try #require(CallState(rawValue: row["state"]))
                let result = try Data.fetchOne(db, sql: "SELECT sealed FROM results WHERE seq = ?", arguments: [sequence])
                #expect((row["fence"] as Int64) >= fences[sequence] ?? 0)
                fences[sequence] = row["fence"]
                #expect(result == nil || now.isFinal && now != .cancelled)
                let end = "\(now) \(row["status"] as Int? ?? 0) \(row["attempts"] as Int) \(row["finished"] as Int? ?? 0)"
                if let before = ends[sequence] { #expect(end == before) }
                if now.isFinal { ends[sequence] = end }
            }
        }
    }
}

/// A generator whose numbers are the same each time (SplitMix64).
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
