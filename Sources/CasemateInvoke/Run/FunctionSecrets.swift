import CasemateModel
import CasemateStore
import CasemateVault
import NIOCore

/// The values that one function's instances run with, and those that are looked for in what they say.
struct FunctionSecrets: Sendable {
    /// Out of the vault.
    let stored: [OpenedSecret]
    /// Kept elsewhere.
    let external: [OpenedSecret]
    /// Replaced or deleted not long ago, in the vault.
    let former: [OpenedSecret]
    /// Replaced not long ago, elsewhere.
    let replaced: [ReplacedSecret]

    /// - Parameter earlier: what was handed out before; it is looked for as long as it is not what is handed out now.
    init(stored: [OpenedSecret], external: [OpenedSecret], former: [OpenedSecret], earlier: [ReplacedSecret]) {
        self.stored = stored
        self.external = external
        self.former = former
        replaced = ReplacedSecret.bounded(earlier.filter { earlier in !external.contains { $0.value.isEqual(to: earlier.secret.value) } })
    }

    /// What is kept elsewhere goes before what is stored under the same name.
    var current: [OpenedSecret] {
        let names = Set(external.map(\.name))
        return stored.filter { !names.contains($0.name) } + external
    }

    /// With other values from elsewhere; nil where they are the same.
    func replacing(_ values: [OpenedSecret]) -> FunctionSecrets? {
        let isSame = external.count == values.count && zip(external, values).allSatisfy { $0.value.isEqual(to: $1.value) }
        guard !isSame else { return nil }
        return FunctionSecrets(stored: stored, external: values, former: former, earlier: ReplacedSecret.now(external) + replaced)
    }

    /// All that is looked for.
    var all: [OpenedSecret] { stored + external + former + replaced.map(\.secret) }
}

/// A value from elsewhere that something ran with, and that is another now. What was printed with it may come out hours later.
struct ReplacedSecret: Sendable {
    let secret: OpenedSecret
    let until: NIODeadline

    static func now(_ secrets: [OpenedSecret]) -> [ReplacedSecret] {
        let until = NIODeadline.now() + .milliseconds(FormerSecret.keptForMilliseconds)
        return secrets.map { ReplacedSecret(secret: $0, until: until) }
    }

    /// The newest, without the same value twice, as far as there is room.
    static func bounded(_ all: [ReplacedSecret]) -> [ReplacedSecret] {
        var kept: [ReplacedSecret] = []
        var room = 512 << 10
        let now = NIODeadline.now()
        for entry in all where entry.until > now && kept.count < 200 && entry.secret.value.count <= room {
            if kept.contains(where: { $0.secret.value.isEqual(to: entry.secret.value) }) { continue }
            room -= entry.secret.value.count
            kept.append(entry)
        }
        return kept
    }
}

/// All that a set of instances needs of its function's secrets.
struct OpenedFunction: Sendable {
    let values: FunctionSecrets
    let search: SecretSearch
    /// Plain values.
    let environment: [VariableName: String]

    /// - Parameter spec: opened.
    init(_ values: FunctionSecrets, _ spec: FunctionSpec) {
        self.values = values
        environment = spec.environment
        search = SecretSearch(values, of: spec)
    }
}

/// Opens a function's secrets, of what the catalogue has of it.
struct SecretOpener: Sendable {
    let vault: Vault
    let sources: SecretSources
    let catalog: Catalog

    /// What can be opened on the event loop, in bytes.
    private static let little = 4096

    /// Nil where somebody has to be asked for the key or for a value, or where it would take long.
    func openNow(_ routed: Routing, earlier: [ReplacedSecret]) throws(SecretsUnavailable) -> OpenedFunction? {
        let function = routed.function
        let size =
            (function.secrets + function.formerSecrets).reduce(0) { $0 + $1.sealed.count }
            + earlier.reduce(0) { $0 + $1.secret.value.count }
        guard function.references.isEmpty, size <= Self.little else { return nil }
        guard function.hasSecrets else {
            return OpenedFunction(FunctionSecrets(stored: [], external: [], former: [], earlier: earlier), routed.spec)
        }
        do throws(VaultError) {
            guard let key = try keyNow(function) else { return nil }
            return OpenedFunction(try Self.open(function, key, external: [], earlier), try key.opening(routed.spec))
        } catch {
            throw SecretsUnavailable(error)
        }
    }

    func open(_ routed: Routing, earlier: [ReplacedSecret]) async throws(SecretsUnavailable) -> OpenedFunction {
        let function = routed.function
        let external = try await resolve(function)
        guard function.hasSecrets else {
            return OpenedFunction(FunctionSecrets(stored: [], external: external, former: [], earlier: earlier), routed.spec)
        }
        do throws(VaultError) {
            let key = try await key(function)
            return OpenedFunction(try Self.open(function, key, external: external, earlier), try key.opening(routed.spec))
        } catch {
            throw SecretsUnavailable(error)
        }
    }

    /// What is kept elsewhere, asked for anew; nil where it is the same.
    func reopen(_ routed: Routing, _ known: FunctionSecrets) async throws(SecretsUnavailable) -> OpenedFunction? {
        guard let values = known.replacing(try await resolve(routed.function)) else { return nil }
        guard routed.spec.sealedEnvironment != nil else { return OpenedFunction(values, routed.spec) }
        do throws(VaultError) { return OpenedFunction(values, try await key(routed.function).opening(routed.spec)) } catch {
            throw SecretsUnavailable(error)
        }
    }

    /// The values that are kept elsewhere, as they are now.
    private func resolve(_ function: Deployed) async throws(SecretsUnavailable) -> [OpenedSecret] {
        let references = function.references
        guard !references.isEmpty else { return [] }
        if let refused = references.first(where: { !function.policy.mayUse($0.from) }) {
            throw SecretsUnavailable("the namespace's policy does not let its functions have \(refused.from.place)")
        }
        guard !vault.isSealed else { throw SecretsUnavailable(.sealed) }
        do throws(SecretSourceError) { return try await sources.resolve(references) } catch {
            throw SecretsUnavailable("\(error)")
        }
    }

    private static func open(
        _ function: Deployed, _ key: DataKey, external: [OpenedSecret], _ earlier: [ReplacedSecret]
    ) throws(VaultError) -> FunctionSecrets {
        FunctionSecrets(
            stored: try key.open(function.secrets), external: external, former: key.openable(function.formerSecrets), earlier: earlier)
    }

    private func keyNow(_ function: Deployed) throws(VaultError) -> DataKey? {
        do { return try vault.openNow(function.wrappedDataKey, of: function.id) } catch {
            guard let newer = rewrapped(function) else { throw error }
            return try vault.openNow(newer, of: function.id)
        }
    }

    private func key(_ function: Deployed) async throws(VaultError) -> DataKey {
        do { return try await vault.open(function.wrappedDataKey, of: function.id) } catch {
            guard let newer = rewrapped(function) else { throw error }
            return try await vault.open(newer, of: function.id)
        }
    }

    /// The key may have been rotated since the call was routed: then what wraps the data key is another, and the old one is gone.
    private func rewrapped(_ function: Deployed) -> WrappedKey? {
        guard let newer = catalog.function(function.id)?.wrappedDataKey, newer != function.wrappedDataKey else { return nil }
        return newer
    }
}

/// Why a function can't start: what its callers are told, and what stands in its log and in the audit log.
struct SecretsUnavailable: Error {
    let problem: Problem
    let why: String

    init(_ error: VaultError) {
        problem = error.problem
        why = error.problem.detail
    }

    /// - Parameter why: a secret that is kept elsewhere can't be had. It names places, which callers need not know.
    init(_ why: String) {
        problem = Problem(
            .secretUnavailable, "a secret that the function needs, and that is kept elsewhere, can't be had now; its log says why",
            retryAfterSeconds: 5)
        self.why = why
    }
}

extension Deployed {
    var references: [SecretReference] { spec?.references ?? [] }
}
