import CasemateModel
import CasemateStore

/// What the gate has to say in numbers.
struct GateGauges: Sendable {
    let advisories: Int
    /// Unix time in seconds; 0 where there are none.
    let newest: Int
    let vulnerable: Int
    let disabled: Int

    init(_ transaction: Transaction) throws {
        let database = try transaction.advisoryDatabase()
        advisories = database?.records ?? 0
        newest = Int((database?.newest.milliseconds ?? 0) / 1000)
        let functions = try transaction.functions()
        disabled = functions.count { $0.disabled != nil }
        vulnerable = try functions.count { function in
            guard let active = function.activeRevision, let live = try transaction.liveAdvisories(of: active) else { return false }
            return live.contains { $0.severity == .error }
        }
    }
}
