import CasemateModel
import Synchronization

/// A function as calls see it: its active revision and its sealed secrets, in memory.
package struct Deployed: Sendable {
    package var id: FunctionId
    package var namespaceId: NamespaceId
    package var name: FunctionName
    /// Nil until the first deploy.
    package var revision: Revision?
    package var spec: FunctionSpec?
    package var wrappedDataKey: [UInt8]
    package var secrets: [SealedSecret]
    /// Grows with every change; instances of an older generation are let go.
    package var generation: UInt64
    /// How long the handler took to load when it was deployed; nil when that is not known.
    package var loadInMilliseconds: Int?

    package init(
        id: FunctionId, namespaceId: NamespaceId, name: FunctionName, revision: Revision?, spec: FunctionSpec?, wrappedDataKey: [UInt8],
        secrets: [SealedSecret], generation: UInt64 = 0, loadInMilliseconds: Int? = nil
    ) {
        self.id = id
        self.namespaceId = namespaceId
        self.name = name
        self.revision = revision
        self.spec = spec
        self.wrappedDataKey = wrappedDataKey
        self.secrets = secrets
        self.generation = generation
        self.loadInMilliseconds = loadInMilliseconds
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
            var function = function
            function.generation = contents.generation
            contents.byName[function.name.description] = function
            contents.names[function.id] = function.name.description
        }
        listener.withLock { $0 }?(function.id)
    }

    package func remove(_ id: FunctionId) {
        contents.withLock { contents in
            if let name = contents.names.removeValue(forKey: id) { contents.byName[name] = nil }
        }
        listener.withLock { $0 }?(id)
    }
}
