import CasemateModel
import CasemateVault
import Synchronization

/// The keys that requests and results are sealed with, for as long as a function's calls come one after the other: a key that a service far
/// away has to open is not asked for with each of them.
package final class CallKeys: Sendable {
    private struct Known {
        let wrapped: WrappedKey
        let key: CallKey
        /// In nanoseconds of the monotonic clock.
        let until: UInt64
    }

    private static let lifetime: UInt64 = 60_000_000_000

    private let vault: Vault
    private let known = Mutex<[FunctionId: Known]>([:])

    package init(vault: Vault) { self.vault = vault }

    /// Nil where somebody has to be asked.
    /// - Throws: `.sealed`, also for what is known.
    func keyNow(_ function: FunctionId, _ wrapped: WrappedKey) throws(VaultError) -> CallKey? {
        if let key = try remembered(function, wrapped) { return key }
        return try vault.openNow(wrapped, of: function).map { remember($0, function, wrapped) }
    }

    package func key(_ function: FunctionId, _ wrapped: WrappedKey) async throws(VaultError) -> CallKey {
        if let key = try remembered(function, wrapped) { return key }
        return remember(try await vault.open(wrapped, of: function), function, wrapped)
    }

    private func remembered(_ function: FunctionId, _ wrapped: WrappedKey) throws(VaultError) -> CallKey? {
        guard !vault.isSealed else {
            known.withLock { $0 = [:] }
            throw .sealed
        }
        guard let found = known.withLock({ $0[function] }), found.wrapped == wrapped, found.until > Monotonic.now else { return nil }
        return found.key
    }

    private func remember(_ opened: DataKey, _ function: FunctionId, _ wrapped: WrappedKey) -> CallKey {
        let key = CallKey(opened)
        known.withLock { $0[function] = Known(wrapped: wrapped, key: key, until: Monotonic.now + Self.lifetime) }
        return key
    }

    /// Lets go of those that were not used for a while.
    package func expire() {
        let now = Monotonic.now
        known.withLock { $0 = $0.filter { $0.value.until > now } }
    }
}
