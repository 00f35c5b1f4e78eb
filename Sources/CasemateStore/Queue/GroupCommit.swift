import GRDB
import Synchronization

/// Has changes that come at the same time share one commit: the disk is waited for once for all of them, and each hears only then.
///
/// Each change is all or nothing by itself: one that fails takes nothing from the others.
final class GroupCommit: Sendable {
    private struct Work: Sendable {
        let body: @Sendable (Database) throws -> @Sendable () -> Void
        let failed: @Sendable (any Error) -> Void
    }

    private struct State {
        var waiting: [Work] = []
        var isAtWork = false
    }

    /// In one commit, at most: what comes later is not to wait for ever.
    private static let most = 512

    private let writer: any DatabaseWriter
    /// Comes first in each commit; what it answers is told when that is on the disk.
    private let prepare: @Sendable (Database) throws -> @Sendable () -> Void
    private let state = Mutex(State())

    init(_ writer: any DatabaseWriter, prepare: @Sendable @escaping (Database) throws -> @Sendable () -> Void = { _ in {} }) {
        self.writer = writer
        self.prepare = prepare
    }

    /// - Parameter done: called on the database's thread, when the change is on the disk or is none.
    func write<T: Sendable>(
        _ body: @Sendable @escaping (Database) throws -> T, _ done: @Sendable @escaping (Result<T, any Error>) -> Void
    ) {
        let work = Work(
            body: { db in
                let value = try body(db)
                return { done(.success(value)) }
            }, failed: { done(.failure($0)) })
        let begins = state.withLock { state in
            state.waiting.append(work)
            defer { state.isAtWork = true }
            return !state.isAtWork
        }
        if begins { begin() }
    }

    private func begin() {
        writer.asyncWriteWithoutTransaction { [self] db in
            while let batch = next() { commit(batch, db) }
        }
    }

    private func next() -> [Work]? {
        state.withLock { state in
            guard !state.waiting.isEmpty else {
                state.isAtWork = false
                return nil
            }
            let batch = Array(state.waiting.prefix(Self.most))
            state.waiting.removeFirst(batch.count)
            return batch
        }
    }

    private func commit(_ batch: [Work], _ db: Database) {
        var outcomes: [@Sendable () -> Void] = []
        do {
            try db.inTransaction(.immediate) {
                outcomes.append(try prepare(db))
                for work in batch {
                    var done: (@Sendable () -> Void)?
                    do {
                        try db.inSavepoint {
                            done = try work.body(db)
                            return .commit
                        }
                        if let done { outcomes.append(done) }
                    } catch {
                        // A full disk or the like may have ended the whole transaction (sqlite.org/lang_transaction.html).
                        guard db.isInsideTransaction else { throw error }
                        outcomes.append { work.failed(error) }
                    }
                }
                return .commit
            }
        } catch {
            for work in batch { work.failed(error) }
            return
        }
        for tell in outcomes { tell() }
    }
}
