import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes

/// Who may do what: grants, and questions about them.
extension APIServices {
    var accessRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/whoami", needs: .credential) { request in
                try request.allowQuery([])
                return .json(try await whoAmI(request.principal))
            },
            APIRoute(.get, "/v1/grants", needs: .right(.platformAdmin)) { request in
                try request.allowQuery([])
                return .json(try await grants { grant, _ in grant.resource == .platform })
            },
            APIRoute(.post, "/v1/grants", needs: .right(.platformAdmin)) { request in
                let body: NewGrant = try await request.json()
                guard body.function == nil else {
                    throw Problem(.invalidRequest, "a grant on a function is made under its namespace")
                }
                return .json(try await insert(body, on: .platform, for: request), status: .created)
            },
            APIRoute(.delete, "/v1/grants/{grant}", needs: .right(.platformAdmin)) { request in
                try await delete(request) { grant, _ in grant.resource == .platform }
            },
            APIRoute(.get, "/v1/namespaces/{namespace}/grants", needs: .right(.namespaceAdmin)) { request in
                try request.allowQuery([])
                let namespace = try await namespace(try request.namespace())
                return .json(try await grants { $0.resource.isWithin(namespace.id) || $1.isHome(namespace.id, of: $0.subject) })
            },
            APIRoute(.post, "/v1/namespaces/{namespace}/grants", needs: .right(.namespaceAdmin)) { request in
                let body: NewGrant = try await request.json()
                let namespace = try await namespace(try request.namespace())
                var resource = Resource.namespace(namespace.id)
                if let label = body.function {
                    resource = try await function(FunctionName(namespace: namespace.name, function: label)).resource
                }
                return .json(try await insert(body, on: resource, for: request), status: .created)
            },
            APIRoute(.delete, "/v1/namespaces/{namespace}/grants/{grant}", needs: .right(.namespaceAdmin)) { request in
                let namespace = try await namespace(try request.namespace())
                return try await delete(request) { $0.resource.isWithin(namespace.id) || $1.isHome(namespace.id, of: $0.subject) }
            },
            APIRoute(.get, "/v1/namespaces/{namespace}/who-can", needs: .right(.namespaceAdmin)) { request in
                try request.allowQuery(["right", "function"])
                let namespace = try await namespace(try request.namespace())
                guard let right = request.query["right"].flatMap(Right.init(rawValue:)) else {
                    throw Problem(.invalidRequest, "right must be one of \(Right.allCases.map(\.rawValue).joined(separator: ", "))")
                }
                var named: Function?
                if let text = request.query["function"] {
                    guard let label = FunctionLabel(text) else { throw Problem(.invalidName, FunctionLabel.rule) }
                    named = try await function(FunctionName(namespace: namespace.name, function: label))
                }
                let resource = named?.resource ?? .namespace(namespace.id)
                // Who has it everywhere is the business of those who administer everything.
                let seesAll = request.principal.rights.has(.platformAdmin, on: .platform)
                return .json(
                    try await grants { grant, _ in
                        grant.rights.contains(right) && grant.resource.covers(resource) && (seesAll || grant.resource != .platform)
                    })
            },
        ]
    }

    private func grants(where isWanted: @Sendable @escaping (Grant, ResourceNames) -> Bool) async throws -> GrantList {
        try await records.read { transaction in
            let names = try ResourceNames(transaction)
            return GrantList(grants: try transaction.grants().filter { isWanted($0, names) }.map { names.view($0) })
        }
    }

    private func whoAmI(_ principal: Principal) async throws -> WhoAmI {
        let subjects: Set<Subject>
        switch principal {
        case .serviceAccount(let account): subjects = [.serviceAccount(account.id)]
        case .person(let person): subjects = person.subjects
        case .session(let session):
            let held = try await records.read { transaction in
                try transaction.functions().flatMap { function in
                    session.rights.on(function.resource).list.map {
                        WhoAmI.Held(permission: $0.rawValue, on: function.name.description)
                    }
                }
            }
            return WhoAmI(principal, grants: held)
        case .anonymous, .functionToken, .function, .schedule: return WhoAmI(principal, grants: [])
        case .administrator:
            return WhoAmI(principal, grants: [WhoAmI.Held(permission: Role.admin.rawValue, on: ResourceNames.platform)])
        }
        let held = try await grants { grant, _ in subjects.contains(grant.subject) }
        return WhoAmI(principal, grants: held.grants.map { WhoAmI.Held(permission: $0.permission, on: $0.on) })
    }

    private func insert(_ body: NewGrant, on resource: Resource, for request: APIRequest) async throws -> GrantView {
        guard let permission = Permission(body.permission) else { throw Problem(.invalidRequest, "permission: \(Permission.rule)") }
        return try await changeAccess { transaction in
            let principal = request.principal
            try request.require(resource == .platform ? .platformAdmin : .namespaceAdmin, on: resource, for: "this")
            let grant = Grant(
                id: GrantId(), subject: try transaction.subject(body.subject, knownTo: principal), permission: permission,
                resource: resource, created: .now, createdBy: principal.subject)
            // What it is on may have gone meanwhile.
            let names = try ResourceNames(transaction)
            guard names.has(resource) else { throw Problem(.notFound, "what the grant is on is not there any more") }
            guard try transaction.grants().count(where: { $0.resource.root == resource.root }) < Self.mostGrantsInOnePlace else {
                throw Problem(
                    .conflict, "there are \(Self.mostGrantsInOnePlace) grants already; grant to groups, or revoke what is not needed")
            }
            let view = names.view(try transaction.insert(try Self.grantable(grant, by: principal)))
            transaction.record(
                .grantCreated, names.auditScope(resource), ["subject": view.subject, "permission": view.permission, "on": view.on])
            return view
        }
    }

    /// Nobody gives what they don't have: an administrator of a namespace makes no administrator of the server, and none of an address.
    /// - Throws: `.forbidden` naming what is missing; `.invalidRequest` for a right of the server's on a part of it.
    static func grantable(_ grant: Grant, by principal: Principal) throws(Problem) -> Grant {
        if grant.resource != .platform, !grant.rights.isDisjoint(with: .ofPlatform) {
            throw Problem(
                .invalidRequest, "\(grant.permission) concerns the server as a whole: grant it there (casemate grant … --platform)")
        }
        let missing = grant.rights.subtracting(principal.rights.on(grant.resource))
        guard missing.isEmpty else {
            throw Problem(
                .forbidden,
                "nobody grants what they do not have themselves; missing here: \(missing.list.map(\.rawValue).joined(separator: ", "))")
        }
        return grant
    }

    private static var mostGrantsInOnePlace: Int { 2000 }

    private func delete(_ request: APIRequest, where isWanted: @Sendable @escaping (Grant, ResourceNames) -> Bool) async throws
        -> APIResponse
    {
        guard let id = GrantId(request.parameter("grant")) else { throw Problem(.invalidRequest, "a grant's id is a UUID") }
        try await changeAccess { transaction in
            let names = try ResourceNames(transaction)
            guard let grant = try transaction.grants().first(where: { $0.id == id && isWanted($0, names) }) else {
                throw Problem(.notFound, "there is no such grant here")
            }
            try transaction.deleteGrant(id)
            let view = names.view(grant)
            transaction.record(
                .grantDeleted, names.auditScope(grant.resource),
                ["subject": view.subject, "permission": view.permission, "on": view.on])
        }
        return .noContent
    }
}

extension Resource {
    /// The namespace that it is or lies in.
    fileprivate var root: Resource {
        if case .function(_, let namespace) = self { return .namespace(namespace) }
        return self
    }

    fileprivate func isWithin(_ namespace: NamespaceId) -> Bool {
        switch self {
        case .platform: false
        case .namespace(let id): id == namespace
        case .function(_, let owner): owner == namespace
        }
    }

    /// Whether a right on this holds on `other`.
    fileprivate func covers(_ other: Resource) -> Bool {
        switch (self, other) {
        case (.platform, _): true
        case (.namespace(let id), .function(_, let owner)): id == owner
        default: self == other
        }
    }
}

extension Transaction {
    /// Whom a text like `service-account:plant/ci` means. Only who administers an account's namespace puts grants on it: they would keep
    /// those who do from making its credentials anew.
    /// - Throws: `.invalidRequest` for another form; `.notFound` where there is none, or none that `principal` may know of.
    fileprivate func subject(_ text: String, knownTo principal: Principal) throws -> Subject {
        let words = text.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        if words.count == 3, words[0] == "user" || words[0] == "group", let label = IssuerLabel(words[1]),
            !words[2].isEmpty
        {
            guard PersonName.isPlain(String(words[2])) else { throw Problem(.invalidRequest, PersonName.rule) }
            guard let issuer = try issuer(label) else { throw Problem(.notFound, "there is no issuer \(label)") }
            return words[0] == "user" ? .user(issuer.id, String(words[2])) : .group(issuer.id, String(words[2]))
        }
        let parts = text.dropFirst(ServiceAccount.subjectPrefix.count).split(separator: "/", omittingEmptySubsequences: false)
        guard text.hasPrefix(ServiceAccount.subjectPrefix), parts.count == 2, let namespaceName = NamespaceName(parts[0]),
            let label = AccountLabel(parts[1])
        else { throw Problem(.invalidRequest, "a subject is service-account:NAMESPACE/NAME, user:ISSUER:NAME or group:ISSUER:NAME") }
        guard let namespace = try namespace(namespaceName), principal.rights.has(.namespaceAdmin, on: .namespace(namespace.id)),
            let account = try serviceAccount(label, in: namespace.id)
        else {
            throw Problem(.notFound, "there is no \(text)")
        }
        return .serviceAccount(account.id)
    }
}

/// What the ids of grants are called.
struct ResourceNames: Sendable {
    static let platform = "*"
    private let namespaces: [NamespaceId: NamespaceName]
    private let functions: [FunctionId: FunctionName]
    private let accounts: [AccountId: ServiceAccount]
    private let issuers: [IssuerId: IssuerLabel]

    init(_ transaction: Transaction) throws {
        namespaces = Dictionary(uniqueKeysWithValues: try transaction.namespaces().map { ($0.id, $0.name) })
        functions = Dictionary(uniqueKeysWithValues: try transaction.functions().map { ($0.id, $0.name) })
        issuers = Dictionary(uniqueKeysWithValues: try transaction.issuers().map { ($0.id, $0.name) })
        accounts = Dictionary(uniqueKeysWithValues: try transaction.serviceAccounts().map { ($0.id, $0) })
    }

    func has(_ resource: Resource) -> Bool {
        switch resource {
        case .platform: true
        case .namespace(let id): namespaces[id] != nil
        case .function(let id, _): functions[id] != nil
        }
    }

    func isHome(_ namespace: NamespaceId, of subject: Subject) -> Bool {
        switch subject {
        case .serviceAccount(let id): accounts[id]?.namespaceId == namespace
        case .user, .group: false
        }
    }

    func auditScope(_ resource: Resource) -> AuditEvent.Scope {
        switch resource {
        case .platform: .platform
        case .namespace(let id): namespaces[id].map { .namespace(id, $0) } ?? .platform
        case .function(let id, let namespace): functions[id].map { .function(id, $0, in: namespace) } ?? .platform
        }
    }

    func view(_ grant: Grant) -> GrantView {
        let subject =
            switch grant.subject {
            case .serviceAccount(let id): accounts[id]?.subject
            case .user(let issuer, let name): issuers[issuer].map { "user:\($0):\(name)" }
            case .group(let issuer, let name): issuers[issuer].map { "group:\($0):\(name)" }
            }
        let resource =
            switch grant.resource {
            case .platform: Self.platform
            case .namespace(let id): namespaces[id]?.text
            case .function(let id, _): functions[id]?.description
            }
        return GrantView(
            id: grant.id.text, subject: subject ?? "?", permission: "\(grant.permission)", on: resource ?? "?",
            rights: grant.rights.list.map(\.rawValue), created: grant.created.rfc3339, createdBy: grant.createdBy)
    }
}

struct NewGrant: StrictDecodable {
    static let fields: Set<String> = ["subject", "permission", "function"]
    var subject: String
    /// A role or a right.
    var permission: String
    var function: FunctionLabel?
}

struct GrantList: Encodable, Sendable { var grants: [GrantView] }

struct GrantView: Encodable, Sendable {
    var id: String
    var subject: String
    var permission: String
    /// `*` for the whole server, else a namespace or NAMESPACE/FUNCTION.
    var on: String
    /// What the permission comes to there.
    var rights: [String]
    var created: String
    var createdBy: String
}

/// Whose credential it is, and what that may do.
struct WhoAmI: Encodable, Sendable {
    struct Held: Encodable, Sendable {
        var permission: String
        var on: String
    }

    var subject: String
    var grants: [Held]
    /// `consent`: asked before the first call of each revision. `standing`: never asked; what the grants let it call it may call, as far as
    /// the policies of namespaces let machines.
    var calls: String

    init(_ principal: Principal, grants: [Held]) {
        subject = principal.subject
        self.grants = grants
        calls = principal.isMachine ? "standing" : "consent"
    }
}
