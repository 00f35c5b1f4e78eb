/// All that one principal was granted, ready to be asked: by each call, without a lookup elsewhere.
public struct GrantedRights: Sendable, Equatable {
    private var platform: Rights = []
    private var namespaces: [NamespaceId: Rights] = [:]
    private var functions: [NamespaceId: [FunctionId: Rights]] = [:]

    public static let none = GrantedRights()
    public static let everything: GrantedRights = {
        var all = GrantedRights()
        all.platform = .all
        return all
    }()

    public init() {}

    public init(_ grants: some Sequence<Grant>) {
        for grant in grants {
            switch grant.resource {
            case .platform: platform.formUnion(grant.rights)
            case .namespace(let id): namespaces[id, default: []].formUnion(grant.rights)
            case .function(let id, let namespace): functions[namespace, default: [:]][id, default: []].formUnion(grant.rights)
            }
        }
    }

    public init(_ rights: Rights, on resource: Resource) {
        switch resource {
        case .platform: platform = rights
        case .namespace(let id): namespaces[id] = rights
        case .function(let id, let namespace): functions[namespace] = [id: rights]
        }
    }

    public func union(_ other: GrantedRights) -> GrantedRights {
        var all = self
        all.platform.formUnion(other.platform)
        all.namespaces.merge(other.namespaces) { $0.union($1) }
        all.functions.merge(other.functions) { $0.merging($1) { $0.union($1) } }
        return all
    }

    /// Those that hold on `resource`, from wherever above it they come.
    public func on(_ resource: Resource) -> Rights {
        switch resource {
        case .platform: platform
        case .namespace(let id): platform.union(namespaces[id] ?? [])
        case .function(let id, let namespace):
            platform.union(namespaces[namespace] ?? []).union(functions[namespace]?[id] ?? [])
        }
    }

    /// Those that hold on `resource` or on any part of it: who has none there may not even know that it exists.
    public func within(_ resource: Resource) -> Rights {
        switch resource {
        case .platform:
            namespaces.values.reduce(platform) { $0.union($1) }.union(
                functions.values.reduce(into: Rights()) { all, inside in inside.values.forEach { all.formUnion($0) } })
        case .namespace(let id): on(resource).union((functions[id] ?? [:]).values.reduce(into: Rights()) { $0.formUnion($1) })
        case .function: on(resource)
        }
    }

    public func has(_ right: Right, on resource: Resource) -> Bool { on(resource).contains(right) }
}
