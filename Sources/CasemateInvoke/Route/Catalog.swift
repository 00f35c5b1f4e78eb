import CasemateModel
import CasemateWire
import Synchronization

/// A function as calls see it: its active revision and its sealed secrets, in memory.
///
/// A reference to what never changes: a call hands it from stage to stage.
package final class Deployed: Sendable {
    package let id: FunctionId
    package let namespaceId: NamespaceId
    package let name: FunctionName
    /// Nil until the first deploy.
    package let revision: Revision?
    package let spec: FunctionSpec?
    /// The active revision's bundle.
    package let bundle: BundleDigest?
    package let wrappedDataKey: WrappedKey
    package let secrets: [SealedSecret]
    /// Values that they had not long ago.
    package let formerSecrets: [SealedSecret]
    /// Grows with every change; instances of an older generation are let go.
    package let generation: UInt64
    /// How long the handler took to load when it was deployed; nil when that is not known.
    package let loadInMilliseconds: Int?
    /// The names that it may reach: what its revision has, without grants that were taken back since.
    package let reachable: [AllowedHost]
    /// How often it may be called, by its manifest and its namespace; nil for as often as it can serve.
    package let rate: RateLimits?
    /// Why no call of it runs; nil where they do.
    package let disabled: String?
    /// The id of the server's key that signed the revision.
    package let signerKey: String
    /// Why no call may run this revision; nil where calls may.
    package let untrusted: String?
    /// Of which a part of the calls runs another revision, or which is that other; nil where all run the active one.
    package let split: Split?
    /// With the revision that runs a part of the calls.
    package let other: Deployed?

    package init(
        id: FunctionId, namespaceId: NamespaceId, name: FunctionName, revision: Revision?, spec: FunctionSpec?, wrappedDataKey: WrappedKey,
        secrets: [SealedSecret], formerSecrets: [SealedSecret] = [], generation: UInt64 = 0, loadInMilliseconds: Int? = nil,
        granted: Set<AllowedHost> = [],
        policy: NamespacePolicy = NamespacePolicy(), disabled: String? = nil, untrusted: String? = nil, signerKey: String = "",
        split: Split? = nil,
        other: Deployed? = nil
    ) {
        self.disabled = disabled
        self.untrusted = untrusted
        self.signerKey = signerKey
        self.split = split
        self.other = other
        self.id = id
        self.namespaceId = namespaceId
        self.name = name
        self.revision = revision
        self.spec = spec
        bundle = revision.flatMap { BundleDigest(hex: $0.bundleDigest) }
        self.wrappedDataKey = wrappedDataKey
        self.secrets = secrets
        self.formerSecrets = formerSecrets
        self.generation = generation
        self.loadInMilliseconds = loadInMilliseconds
        self.granted = granted
        self.policy = policy
        let capped = (spec?.rate ?? RateLimits()).capped(by: policy.rate)
        rate = capped.isEmpty ? nil : capped
        reachable = spec?.reachable(granted: granted) ?? []
    }

    var mayRun: Bool { untrusted == nil && disabled == nil }

    private let granted: Set<AllowedHost>
    /// Of its namespace, as it is now.
    package let policy: NamespacePolicy

    package var resource: Resource { .function(id, in: namespaceId) }
    package var auditScope: AuditEvent.Scope { .function(id, name, in: namespaceId) }

    /// Whether the active revision lists `caller` among its callers.
    package func mayBeCalled(by caller: FunctionName) -> Bool { spec?.callers?.contains(caller) ?? false }

    /// Whether anything of it is sealed with its data key.
    var hasSecrets: Bool { !secrets.isEmpty || !formerSecrets.isEmpty || spec?.sealedEnvironment != nil }

    fileprivate func inGeneration(
        _ generation: UInt64, wrappedDataKey: WrappedKey? = nil, formerSecrets: [SealedSecret]? = nil
    ) -> Deployed {
        Deployed(
            id: id, namespaceId: namespaceId, name: name, revision: revision, spec: spec,
            wrappedDataKey: wrappedDataKey ?? self.wrappedDataKey, secrets: secrets,
            formerSecrets: formerSecrets ?? self.formerSecrets, generation: generation, loadInMilliseconds: loadInMilliseconds,
            granted: granted,
            policy: policy, disabled: disabled, untrusted: untrusted, signerKey: signerKey, split: split,
            other: other?.inGeneration(generation, wrappedDataKey: wrappedDataKey, formerSecrets: formerSecrets))
    }
}

/// All functions by name. Written by the management side after each commit, read by every call.
package final class Catalog: Sendable {
    private struct Contents {
        var byName: [String: Deployed] = [:]
        var names: [FunctionId: String] = [:]
        var generation: UInt64 = 0
    }

    private let contents = Mutex(Contents())
    private let listener: Mutex<(@Sendable (FunctionId) -> Void)?> = Mutex(nil)

    package init() {}

    /// Told after each change, so that instances of what changed end without waiting for a call.
    package func onChange(_ body: @Sendable @escaping (FunctionId) -> Void) { listener.withLock { $0 = body } }

    package func function(named name: Substring) -> Deployed? { contents.withLock { $0.byName[String(name)] } }

    package func function(_ id: FunctionId) -> Deployed? {
        contents.withLock { contents in contents.names[id].flatMap { contents.byName[$0] } }
    }

    /// Those that are kept up without a call.
    package var keptUp: [FunctionId] {
        contents.withLock { contents in contents.byName.values.filter { ($0.spec?.scale.min ?? 0) > 0 }.map(\.id) }
    }

    package var count: Int { contents.withLock { $0.byName.count } }

    package func put(_ function: Deployed) {
        contents.withLock { contents in
            contents.generation += 1
            let name = function.name.description
            contents.byName[name] = function.inGeneration(contents.generation)
            contents.names[function.id] = name
        }
        listener.withLock { $0 }?(function.id)
    }

    /// The same function with its data key wrapped anew: its instances go on.
    package func rewrap(_ keys: [(id: FunctionId, wrapped: WrappedKey)]) {
        contents.withLock { contents in
            for (id, wrapped) in keys {
                guard let name = contents.names[id], let known = contents.byName[name] else { continue }
                contents.byName[name] = known.inGeneration(known.generation, wrappedDataKey: wrapped)
            }
        }
    }

    /// The same function with less to look for: its instances go on.
    package func put(formerSecrets: [SealedSecret], of id: FunctionId) {
        contents.withLock { contents in
            guard let name = contents.names[id], let known = contents.byName[name] else { return }
            contents.byName[name] = known.inGeneration(known.generation, formerSecrets: formerSecrets)
        }
    }

    package func remove(_ id: FunctionId) {
        contents.withLock { contents in
            if let name = contents.names.removeValue(forKey: id) { contents.byName[name] = nil }
        }
        listener.withLock { $0 }?(id)
    }
}
