import CasemateModel
import Crypto
import Glibc
import Synchronization

/// Makes and opens the data keys of functions: each wrapped by a key-encryption key, which a provider holds.
///
/// Only ciphertext leaves it towards the store; only a cold start and the gate open. Sealed, it opens nothing.
public final class Vault: Sendable {
    /// The first wraps; the others open what they wrapped before.
    private let providers: [any KeyProvider]
    private let state: Mutex<State>

    private struct State {
        var isSealed: Bool
        /// Why the key can't be had, since it could not.
        var fault: String?
        var listener: (@Sendable (Change) -> Void)?
        /// Keys that data keys are wrapped by; where there are some, no other wraps.
        var expected: Set<String> = []
    }

    /// What becomes of the key-encryption key.
    public enum Change: Sendable, Equatable { case unavailable(String), recovered }

    public init(providers: [any KeyProvider], isSealed: Bool = false) {
        precondition(!providers.isEmpty)
        self.providers = providers
        state = Mutex(State(isSealed: isSealed))
    }

    public var isSealed: Bool { state.withLock { $0.isSealed } }
    /// Why the key can't be had; nil while it can, as far as is known.
    public var fault: String? { state.withLock { $0.fault } }
    /// For people.
    public var places: [String] { providers.map { "\($0.scheme) \($0.place)" } }

    /// From now on nothing is opened, or again.
    public func setSealed(_ isSealed: Bool) { state.withLock { $0.isSealed = isSealed } }

    /// Told when the key can't be had any more, and when it can again.
    public func onChange(_ body: @Sendable @escaping (Change) -> Void) { state.withLock { $0.listener = body } }

    /// The keys that stored data keys are wrapped by: what another one wrapped would be lost with it, so that it wraps nothing.
    public func expect(_ keys: some Sequence<String>) { state.withLock { $0.expected = Set(keys).subtracting([""]) } }

    /// A new data key for `function`.
    public func newDataKey(for function: FunctionId) async throws(VaultError) -> (key: DataKey, wrapped: WrappedKey) {
        let key = DataKey(SymmetricKey(size: .bits256), of: function)
        return (key, try await wrap(key, for: function))
    }

    /// - Throws: `.sealed`, `.unavailable`; `.tampered` when it was not wrapped for this function, or was changed since.
    public func open(_ wrapped: WrappedKey, of function: FunctionId) async throws(VaultError) -> DataKey {
        let provider = try provider(of: wrapped)
        do {
            return try opened(try await provider.unwrap(wrapped, context: Self.context(function)), of: function)
        } catch let error as KeyProviderError { throw failed(error) } catch let error as VaultError { throw error } catch { throw .broken }
    }

    /// As `open`, where the key is at hand; nil where it must be asked for.
    public func openNow(_ wrapped: WrappedKey, of function: FunctionId) throws(VaultError) -> DataKey? {
        let provider = try provider(of: wrapped)
        do {
            guard let bytes = try provider.unwrapNow(wrapped, context: Self.context(function)) else { return nil }
            return try opened(bytes, of: function)
        } catch let error as KeyProviderError { throw failed(error) } catch let error as VaultError { throw error } catch { throw .broken }
    }

    // MARK: Rotation

    /// The id of the key that data keys are wrapped with now.
    public func activeKey() async throws(VaultError) -> String {
        do { return try await providers[0].activeKey() } catch { throw failed(error) }
    }

    /// Begins a new key, and wraps with that from now on.
    public func beginRotation() async throws(VaultError) -> String {
        guard !isSealed else { throw .sealed }
        try checkExpected(try await activeKey())
        do {
            let key = try await providers[0].rotate()
            state.withLock { state in
                if !state.expected.isEmpty { state.expected.insert(key) }
            }
            return key
        } catch { throw failed(error) }
    }

    /// The same data key, wrapped by the key that is active now.
    public func rewrap(_ wrapped: WrappedKey, of function: FunctionId) async throws(VaultError) -> WrappedKey {
        try await wrap(try await open(wrapped, of: function), for: function)
    }

    /// Destroys all keys but those of `kept`, of which nothing must be left.
    /// - Returns: how many were destroyed, and the places where that is not ours to do.
    public func endRotation(keeping kept: Set<String>) async throws(VaultError) -> (destroyed: Int, left: [String]) {
        var destroyed = 0
        var left: [String] = []
        for provider in providers {
            do {
                if let count = try await provider.destroy(allBut: kept) { destroyed += count } else { left.append(provider.place) }
            } catch { throw failed(error) }
        }
        return (destroyed, left)
    }

    /// To be awaited before the process ends: a security module's library may be at work.
    public func close() async {
        for provider in providers { await provider.close() }
    }

    // MARK: Providers

    private func wrap(_ key: DataKey, for function: FunctionId) async throws(VaultError) -> WrappedKey {
        guard !isSealed else { throw .sealed }
        var bytes = key.withBytes { Array($0) }
        defer { bytes.withUnsafeMutableBytes { explicit_bzero($0.baseAddress!, $0.count) } }
        do {
            let wrapped = try await providers[0].wrap(bytes, context: Self.context(function))
            try checkExpected(wrapped.keyId)
            succeeded()
            return wrapped
        } catch let error as KeyProviderError { throw failed(error) } catch let error as VaultError { throw error } catch { throw .broken }
    }

    /// Why `key` must not wrap anything; nil where it may. A key of another provider than those before comes by a rotation.
    public func fault(of key: String) -> String? {
        let scheme = key.prefix { $0 != ":" }
        let alike = state.withLock { $0.expected }.filter { $0.prefix { $0 != ":" } == scheme }
        // In the middle of a rotation the newest key wraps nothing yet; the one before is still beside it.
        guard !alike.isEmpty, !alike.contains(key), providers[0].hasOne(of: alike) == false else { return nil }
        return
            "data keys are wrapped by \(alike.sorted().joined(separator: ", ")), and the key that is here is another, \(key): put back the right one"
    }

    private func checkExpected(_ key: String) throws(VaultError) {
        // KMS makes new versions of what an alias leads to by itself.
        guard !key.hasPrefix("aws-kms:"), let why = fault(of: key) else { return }
        throw .keyMissing(why)
    }

    private func provider(of wrapped: WrappedKey) throws(VaultError) -> any KeyProvider {
        guard !isSealed else { throw .sealed }
        let scheme = wrapped.keyId.isEmpty ? "file" : String(wrapped.keyId.prefix { $0 != ":" })
        guard let provider = providers.first(where: { $0.scheme == scheme }) else {
            throw .unavailable(
                "data keys are wrapped by \(wrapped.keyId), and no such provider is set: add it to --kek, behind the one that wraps")
        }
        return provider
    }

    private func opened(_ bytes: [UInt8], of function: FunctionId) throws(VaultError) -> DataKey {
        var bytes = bytes
        defer { bytes.withUnsafeMutableBytes { if let start = $0.baseAddress { explicit_bzero(start, $0.count) } } }
        guard bytes.count == 32 else { throw .tampered }
        succeeded()
        return DataKey(SymmetricKey(data: bytes), of: function)
    }

    private func succeeded() {
        let listener = state.withLock { state -> (@Sendable (Change) -> Void)? in
            guard state.fault != nil else { return nil }
            state.fault = nil
            return state.listener
        }
        listener?(.recovered)
    }

    private func failed(_ error: KeyProviderError) -> VaultError {
        switch error {
        case .wrongKey: return .tampered
        case .unknownKey(let why): return .keyMissing(why)
        case .unavailable(let why):
            let listener = state.withLock { state -> (@Sendable (Change) -> Void)? in
                defer { state.fault = why }
                return state.fault == nil ? state.listener : nil
            }
            listener?(.unavailable(why))
            return .unavailable(why)
        }
    }

    private static func context(_ function: FunctionId) -> [UInt8] { Array("casemate/dek/1\0\(function)".utf8) }
}

public enum VaultError: Error, Equatable, CustomStringConvertible {
    /// Nothing is opened until it is unsealed.
    case sealed
    /// The key-encryption key can't be had, and why.
    case unavailable(String)
    /// The key that it was wrapped by is not here, though others are.
    case keyMissing(String)
    /// It is not what was sealed.
    case tampered
    case broken

    public var description: String {
        switch self {
        case .sealed: "the vault is sealed"
        case .unavailable(let why), .keyMissing(let why): why
        case .tampered: "a sealed value does not open with this key, function, name and version"
        case .broken: "sealing failed"
        }
    }

    /// For whoever asked; why a key can't be had is the operator's to know.
    public var problem: Problem {
        switch self {
        case .sealed:
            Problem(.vaultSealed, "the vault is sealed; an administrator unseals it: casemate vault unseal", retryAfterSeconds: 30)
        case .unavailable, .keyMissing:
            Problem(.kekUnavailable, "the key-encryption key can't be had now; the server's log says why", retryAfterSeconds: 5)
        case .tampered, .broken: Problem(.secretUnavailable, "the function's secrets do not open: they are not what was stored")
        }
    }
}
