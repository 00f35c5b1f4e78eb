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
        (vulnerable, disabled) = try transaction.gateCounts()
    }
}
