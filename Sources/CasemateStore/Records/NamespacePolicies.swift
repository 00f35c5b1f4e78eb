import CasemateModel
import Synchronization

/// The policies of all namespaces as they are now, for what can't wait for the database: every connection out asks.
public final class NamespacePolicies: Sendable {
    private let policies: Mutex<[NamespaceId: NamespacePolicy]> = Mutex([:])

    public init() {}

    public func load(_ all: [NamespaceId: NamespacePolicy]) { policies.withLock { $0 = all } }

    public func set(_ policy: NamespacePolicy, of namespace: NamespaceId) { policies.withLock { $0[namespace] = policy } }

    public func policy(of namespace: NamespaceId) -> NamespacePolicy { policies.withLock { $0[namespace] } ?? NamespacePolicy() }

    /// Ranges that are reserved elsewhere and may be connected to from this namespace.
    public func listed(_ namespace: NamespaceId) -> [AddressRange] { policy(of: namespace).egress.cidrs }
}
