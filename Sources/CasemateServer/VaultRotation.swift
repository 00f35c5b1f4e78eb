import CasemateInvoke
import CasemateModel
import CasemateStore
import CasemateVault
import Logging

/// Wraps every data key anew while calls go on, and destroys what wrapped them before.
///
/// Whatever stops it halfway, the next rotation finishes: the old key is destroyed only once nothing is wrapped by it.
actor VaultRotation {
    struct Progress: Sendable, Equatable {
        enum Phase: String, Sendable { case idle, running, done, failed }
        var phase = Phase.idle
        var total = 0
        var wrapped = 0
        var key: String?
        /// Keys that were destroyed, and where that is left to the operator.
        var destroyed = 0
        var left: [String] = []
        var problem: String?
    }

    private static let batch = 200
    /// So many are asked of a key service at once.
    private static let atOnce = 8

    private let records: Records
    private let vault: Vault
    private let catalog: Catalog
    private let audit: AuditLog
    private let logger: Logger
    private(set) var progress = Progress()

    init(records: Records, vault: Vault, catalog: Catalog, audit: AuditLog, logger: Logger) {
        self.records = records
        self.vault = vault
        self.catalog = catalog
        self.audit = audit
        self.logger = logger
    }

    /// Begins one, on behalf of the request at hand; it goes on by itself.
    /// - Throws: `.conflict` while one runs; `.auditUnavailable`; what the key's provider says.
    func begin() async throws -> Progress {
        guard progress.phase != .running else { throw Problem(.conflict, "a rotation is under way; see casemate vault status") }
        guard !vault.isSealed else { throw VaultError.sealed.problem }
        progress = Progress(phase: .running)
        do {
            let context = AuditContext.current
            let before = try await vault.activeKey()
            let event = AuditEvent(.vaultRotationStarted, ["from": before])
            do { try await audit.append(context?.completing(event) ?? event) } catch { throw Problem.auditUnavailable }
            context?.countRecords(1)
            let key = try await vault.beginRotation()
            progress.key = key
            // A server without a function has wrapped nothing by it, and must not begin to.
            seenKeys.insert(before)
            progress.total = try await records.read { try $0.countsByKey() }.filter { $0.key != key }.values.reduce(0, +)
            // Not bound to the request, which is answered before.
            Task { await run(to: key, by: context) }
            return progress
        } catch {
            audit.add(
                AuditContext.current?.completing(AuditEvent(.vaultRotated, outcome: .failed, [:]))
                    ?? AuditEvent(.vaultRotated, outcome: .failed, [:]))
            progress.phase = .failed
            progress.problem = "\((error as? VaultError)?.problem.detail ?? (error as? Problem)?.detail ?? "it could not be begun")"
            throw (error as? VaultError)?.problem ?? error
        }
    }

    private func run(to key: String, by context: AuditContext?) async {
        do {
            try await wrapAll(by: key)
            let ended = try await retireOthers(than: key)
            progress.phase = .done
            (progress.destroyed, progress.left) = ended
            let event = AuditEvent(
                .vaultRotated, ["to": key, "functions": "\(progress.wrapped)", "destroyed": "\(ended.destroyed)"])
            audit.add(context?.completing(event) ?? event)
        } catch {
            logger.error("rotating the vault's key failed; what was wrapped is kept, run it again", metadata: ["error": "\(error)"])
            progress.phase = .failed
            progress.problem = (error as? VaultError)?.problem.detail ?? (error as? Problem)?.detail ?? "the server's log says why"
            let event = AuditEvent(.vaultRotated, outcome: .failed, ["to": key, "functions": "\(progress.wrapped)"])
            audit.add(context?.completing(event) ?? event)
        }
    }

    /// Keys of which nothing is left are refused for new functions first, and destroyed then: none can come in between.
    private func retireOthers(than key: String) async throws -> (destroyed: Int, left: [String]) {
        while true {
            let isDone = try await records.write { [seen = seenKeys] transaction in
                guard try transaction.functions(notWrappedBy: key, limit: 1).isEmpty else { return false }
                try transaction.retire(seen.subtracting([key, ""]), at: .now)
                return true
            }
            if isDone { break }
            try await wrapAll(by: key)
        }
        try? await records.compact()
        return try await vault.endRotation(keeping: [key])
    }

    private var seenKeys: Set<String> = []
    /// Functions whose data key does not open: for their sake no key is destroyed.
    private var stuck: Set<FunctionId> = []

    private func wrapAll(by key: String) async throws {
        stuck = []
        while true {
            let limit = Self.batch + stuck.count
            let some = try await records.read { try $0.functions(notWrappedBy: key, limit: limit) }.filter { !stuck.contains($0.id) }
            if some.isEmpty { break }
            seenKeys.formUnion(some.map(\.wrapped.keyId))
            let wrapped = try await wrap(some)
            guard wrapped.allSatisfy({ $0.after.keyId == key }) else {
                throw Problem(.conflict, "the key that wraps is another one by now; rotate again")
            }
            let done = try await records.write { transaction in
                try wrapped.filter { try transaction.rewrap($0.id, from: $0.before, to: $0.after) }
            }
            catalog.rewrap(done.map { ($0.id, $0.after) })
            progress.wrapped += done.count
        }
        guard stuck.isEmpty else {
            let names = stuck.prefix(5).compactMap { catalog.function($0)?.name.description }.joined(separator: ", ")
            throw Problem(
                .conflict,
                "the data keys of \(stuck.count) functions do not open (\(names)), so the old key is kept: restore or delete them, then rotate again"
            )
        }
    }

    private struct Stuck: Error { var id: FunctionId }

    private struct Wrapped: Sendable {
        var id: FunctionId
        var before: WrappedKey
        var after: WrappedKey
    }

    private func wrap(_ some: [(id: FunctionId, wrapped: WrappedKey)]) async throws -> [Wrapped] {
        try await withThrowingTaskGroup(of: Result<Wrapped, Stuck>.self) { group in
            var results: [Wrapped] = []
            var rest = some[...]
            func next() {
                guard let entry = rest.popFirst() else { return }
                group.addTask { [vault] in
                    do {
                        return .success(
                            Wrapped(id: entry.id, before: entry.wrapped, after: try await vault.rewrap(entry.wrapped, of: entry.id)))
                    } catch let error as VaultError {
                        switch error {
                        case .tampered, .keyMissing: return .failure(Stuck(id: entry.id))
                        default: throw error
                        }
                    }
                }
            }
            for _ in 0..<Self.atOnce { next() }
            while let result = try await group.next() {
                switch result {
                case .success(let wrapped): results.append(wrapped)
                case .failure(let failed): stuck.insert(failed.id)
                }
                next()
            }
            return results
        }
    }
}
