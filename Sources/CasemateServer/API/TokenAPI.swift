import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes

extension APIServices {
    var tokenRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/namespaces/{namespace}/tokens", needs: .within(.tokenWrite)) { request in
                try request.allowQuery([])
                let namespace = try await namespace(try request.namespace())
                let (credentials, functions) = try await records.read { (try $0.credentials(), try $0.functions(in: namespace.id)) }
                let rights = request.principal.rights
                let visible = credentials.filter { credential in
                    credential.holder.token(in: namespace.id).map { rights.has(.tokenWrite, on: $0.resource) } ?? false
                }
                return .json(TokenList(tokens: visible.compactMap { TokenView($0, in: namespace, functions: functions) }))
            },
            APIRoute(.post, "/v1/namespaces/{namespace}/tokens", needs: .within(.tokenWrite)) { request in
                let body: NewToken = try await request.json()
                let namespace = try await namespace(try request.namespace())
                var function: Function?
                if let label = body.function {
                    function = try await self.function(
                        FunctionName(namespace: namespace.name, function: label), knownTo: request.principal)
                }
                let resource = function?.resource ?? .namespace(namespace.id)
                let what = function.map { "a token for \($0.name)" } ?? "a token for all of \(namespace.name)"
                guard (1...3650).contains(body.expiresInDays ?? 90) else {
                    throw Problem(.invalidRequest, "expiresInDays must be a number from 1 to 3650")
                }
                guard (body.description ?? "").utf8.count <= 200 else {
                    throw Problem(.invalidRequest, "a description is at most 200 bytes")
                }
                let fresh = FreshCredential(.functionToken)
                let now = Timestamp.now
                let stored = StoredCredential(
                    holder: .functionToken(TokenId(), namespace: namespace.id, function: function?.id), hash: fresh.hash.bytes,
                    prefix: fresh.prefix, description: body.description ?? "", created: now,
                    expires: now.advanced(byMilliseconds: Int64(body.expiresInDays ?? 90) * 86_400_000),
                    createdBy: request.principal.subject)
                try await records.write { [function] transaction in
                    if let function, try transaction.function(function.id) == nil { throw Problem.unknown(function.name) }
                    try request.require(.tokenWrite, on: resource, for: what)
                    // A token calls: nobody makes one who may not.
                    try request.require(.functionInvoke, on: resource, for: what)
                    try transaction.insert(stored)
                    transaction.record(
                        .tokenCreated, function?.auditScope ?? namespace.auditScope,
                        ["prefix": stored.prefix, "expires": stored.expires?.rfc3339 ?? "never"])
                    credentials.replace([], by: stored)
                }
                guard var view = TokenView(stored, in: namespace, functions: function.map { [$0] } ?? []) else {
                    throw Problem(.internalError, "the token could not be shown")
                }
                view.token = fresh.text
                return .json(view, status: .created)
            },
            APIRoute(.delete, "/v1/namespaces/{namespace}/tokens/{token}", needs: .within(.tokenWrite)) { request in
                let namespace = try await namespace(try request.namespace())
                guard let id = TokenId(request.parameter("token")) else { throw Problem(.invalidRequest, "a token's id is a UUID") }
                let found = try await records.read { transaction in
                    try transaction.credentials().lazy.compactMap { $0.holder.token(in: namespace.id) }.first { $0.id == id }
                }
                let gone = Problem(.notFound, "there is no such token in \(namespace.name)")
                guard let found, request.principal.rights.has(.tokenWrite, on: found.resource) else { throw gone }
                try await changeAccess { transaction in
                    guard try transaction.deleteToken(id) else { throw gone }
                    transaction.record(.tokenRevoked, namespace.auditScope, ["token": id.text])
                }
                return .noContent
            },
        ]
    }
}

extension StoredCredential.Holder {
    /// Nil for what is no token of this namespace.
    fileprivate func token(in namespace: NamespaceId) -> (id: TokenId, resource: Resource)? {
        guard case .functionToken(let id, namespace, let function) = self else { return nil }
        return (id, function.map { .function($0, in: namespace) } ?? .namespace(namespace))
    }
}

struct NewToken: StrictDecodable {
    static let fields: Set<String> = ["function", "description", "expiresInDays"]
    var function: FunctionLabel?
    var description: String?
    var expiresInDays: Int?
}

struct TokenList: Encodable, Sendable { var tokens: [TokenView] }

struct TokenView: Encodable, Sendable {
    var id: String
    /// Only in the answer that made it.
    var token: String?
    var prefix: String
    var function: String?
    var description: String
    var created: String
    var createdBy: String
    var expires: String?
    /// To within some seconds; nil where it never was.
    var lastUsed: String?

    /// Nil for what is no token of this namespace.
    init?(_ credential: StoredCredential, in namespace: Namespace, functions: [Function]) {
        guard case .functionToken(let id, let owner, let function) = credential.holder, owner == namespace.id else { return nil }
        self.id = id.text
        prefix = credential.prefix
        self.function = function.flatMap { id in functions.first { $0.id == id }?.name.function.text }
        description = credential.description
        created = credential.created.rfc3339
        createdBy = credential.createdBy
        expires = credential.expires?.rfc3339
        lastUsed = credential.lastUsed?.rfc3339
    }
}
