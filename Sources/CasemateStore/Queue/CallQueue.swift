import CasemateModel
import GRDB
import Synchronization

/// The durable queue of asynchronous calls: a database of its own beside the records, so that accepting a call waits for no deployment, and
/// a deployment for no flood of calls. What it has accepted is on the disk before anybody is told.
///
/// Reads see the last commit and wait for nobody.
public final class CallQueue: Sendable {
    let database: DatabasePool
    private let commits: GroupCommit
    /// Stands for this process: what it has claimed is nobody's once it is gone.
    let worker: String
    private let clockSet: OnClockSet
    private let isMiscounted = Atomic(false)
    private let depths = Mutex<[FunctionId: Depth]>([:])

    /// What waits and runs of a function.
    public struct Depth: Sendable, Equatable {
        public let namespaceId: NamespaceId
        public var queued = 0
        public var running = 0
        /// Of the requests of both.
        public var bytes = 0

        public var open: Int { queued + running }
        var isEmpty: Bool { queued == 0 && running == 0 }
    }

    /// - Parameter worker: nobody's before.
    /// - Throws: `RecordsError`.
    public init(path: String, worker: String) throws {
        self.worker = worker
        var configuration = Configuration()
        configuration.foreignKeysEnabled = true
        configuration.maximumReaderCount = 4
        configuration.busyMode = .timeout(10)
        configuration.prepareDatabase { db in
            guard !db.configuration.readonly else { return }
            try db.execute(sql: "PRAGMA wal_autocheckpoint = 4000")
        }
        do {
            database = try DatabasePool(path: path, configuration: configuration)
            // A pool says NORMAL when it opens, whatever it was told before: commits that wait for no disk.
            try database.writeWithoutTransaction { db in try db.execute(sql: "PRAGMA synchronous = FULL") }
            guard try database.read({ db in try !QueueSchema.migrator.hasBeenSuperseded(db) }) else { throw RecordsError.newerSchema }
            try QueueSchema.migrator.migrate(database)
            let fault = try database.read { db in try String.fetchOne(db, sql: "PRAGMA quick_check(1)") }
            guard fault == "ok" else { throw RecordsError.damaged }
        } catch let error as DatabaseError where [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(error.resultCode) {
            throw RecordsError.damaged
        }
        let (clock, clockSet) = (ClockWatch(), OnClockSet())
        commits = GroupCommit(database) { db in
            let look = clock.look()
            guard look.jump != 0 else { return {} }
            try Self.shift(byMilliseconds: look.jump, db)
            return {
                clock.heed(look)
                clockSet.tell(look.jump)
            }
        }
        self.clockSet = clockSet
        try countAnew()
    }

    /// - Parameter body: hears, after the fact, by how many milliseconds the wall clock was set.
    public func onClockSet(_ body: @Sendable @escaping (Int64) -> Void) { clockSet.body.withLock { $0 = body } }

    private final class OnClockSet: Sendable {
        let body: Mutex<(@Sendable (Int64) -> Void)?> = Mutex(nil)

        func tell(_ jump: Int64) { body.withLock { $0 }?(jump) }
    }

    /// A change, in one commit with others. Counts as it goes; where that did not get to the disk, it counts anew.
    func write<T: Sendable>(
        _ body: @Sendable @escaping (Database) throws -> T, _ done: @Sendable @escaping (Result<T, any Error>) -> Void
    ) {
        commits.write(body) { [self] result in
            // Once for all that shared the commit.
            if case .failure(let error) = result, !(error is Problem), !isMiscounted.exchange(true, ordering: .relaxed) {
                commits.write({ [self] _ in isMiscounted.store(false, ordering: .relaxed) }) { [self] _ in try? countAnew() }
            }
            done(result)
        }
    }

    func write<T: Sendable>(_ body: @Sendable @escaping (Database) throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in write(body) { continuation.resume(with: $0) } }
    }

    private func countAnew() throws {
        let rows = try database.read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT function_id, namespace_id, sum(state = 'queued') AS queued, sum(state = 'running') AS running,
                        sum(request_bytes) AS bytes FROM calls WHERE state IN ('queued', 'running') GROUP BY function_id
                    """)
        }
        var found: [FunctionId: Depth] = [:]
        for row in rows {
            guard let function = FunctionId(row["function_id"] as String), let namespace = NamespaceId(row["namespace_id"] as String) else {
                throw RecordsError.damaged
            }
            found[function] = Depth(namespaceId: namespace, queued: row["queued"], running: row["running"], bytes: row["bytes"])
        }
        depths.withLock { [found] in $0 = found }
    }

    /// Of all functions that have something open.
    public var open: [FunctionId: Depth] { depths.withLock { $0 } }

    public func depth(of function: FunctionId) -> Depth? { depths.withLock { $0[function] } }

    /// Of a namespace's calls that wait or run.
    func open(in namespace: NamespaceId) -> (count: Int, bytes: Int) {
        depths.withLock { depths in
            depths.values.reduce(into: (0, 0)) { sum, depth in
                guard depth.namespaceId == namespace else { return }
                sum.0 += depth.open
                sum.1 += depth.bytes
            }
        }
    }

    /// What becomes of some calls; called with the change itself.
    func moved(_ function: FunctionId, in namespace: NamespaceId, queued: Int = 0, running: Int = 0, bytes: Int = 0) {
        depths.withLock { depths in
            var depth = depths[function] ?? Depth(namespaceId: namespace)
            depth.queued += queued
            depth.running += running
            depth.bytes += bytes
            depths[function] = depth.isEmpty ? nil : depth
        }
    }

    /// A copy as the database is at one moment; the file must not exist.
    public func copy(to path: String) async throws {
        // By a reader, outside a transaction: a copy takes minutes, and calls go on meanwhile.
        try await Task.detached { [database] in
            try database.unsafeRead { db in try db.execute(sql: "VACUUM INTO ?", arguments: [path]) }
        }.value
    }

    public func close() { try? database.close() }
}
