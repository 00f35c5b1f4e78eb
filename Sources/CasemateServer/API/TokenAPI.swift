import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes

extension APIServices {
    var tokenRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/namespaces/{namespace}/tokens", needs: .functionRead) { request in
                try request.allowQuery([])
                let namespace = try await namespace(try request.namespace())
                let (credentials, functions) = try await records.read { (try $0.credentials(), try $0.functions(in: namespace.id)) }
                return .json(TokenList(tokens: credentials.compactMap { TokenView($0, in: namespace, functions: functions) }))
            },
            APIRoute(.post, "/v1/namespaces/{namespace}/tokens", needs: .tokenWrite) { request in
                let body: NewToken = try await request.json()
                let namespace = try await namespace(try request.namespace())
                var function: Function?
                if let label = body.function {
                    function = try await self.function(FunctionName(namespace: namespace.name, function: label))
                }
                guard (1...3650).contains(body.expiresInDays ?? 90) else {
                    throw Problem(.invalidRequest, "expiresInDays must be a number from 1 to 3650")
                }
                guard (body.description ?? "").utf8.count <= 200 else {
                    throw Problem(.invalidRequest, "a description is at most 200 bytes")
                }
                let fresh = FreshToken()
                let now = Timestamp.now
                let stored = StoredCredential(
                    holder: .functionToken(TokenId(), namespace: namespace.id, function: function?.id), hash: fresh.hash.bytes,
                    prefix: fresh.prefix, description: body.description ?? "", created: now,
                    expires: now.advanced(byMilliseconds: Int64(body.expiresInDays ?? 90) * 86_400_000))
                try await records.write { try $0.insert(stored) }
                try await reloadCredentials()
                guard var view = TokenView(stored, in: namespace, functions: function.map { [$0] } ?? []) else {
                    throw Problem(.internalError, "the token could not be shown")
                }
                view.token = fresh.text
                return .json(view, status: .created)
            },
            APIRoute(.delete, "/v1/namespaces/{namespace}/tokens/{token}", needs: .tokenWrite) { request in
                let namespace = try await namespace(try request.namespace())
                guard let id = TokenId(request.parameter("token")) else { throw Problem(.invalidRequest, "a token's id is a UUID") }
                let isThere = try await records.read { transaction in
                    try transaction.credentials().contains { credential in
                        if case .functionToken(let known, let owner, _) = credential.holder {
                            known == id && owner == namespace.id
                        } else {
                            false
                        }
                    }
                }
                guard isThere, try await records.write({ try $0.deleteToken(id) }) else {
                    throw Problem(.notFound, "there is no such token in \(namespace.name)")
                }
                try await reloadCredentials()
                return .noContent
            },
        ]
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
    var expires: String?

    /// Nil for what is no token of this namespace.
    init?(_ credential: StoredCredential, in namespace: Namespace, functions: [Function]) {
        guard case .functionToken(let id, let owner, let function) = credential.holder, owner == namespace.id else { return nil }
        self.id = id.text
        prefix = credential.prefix
        self.function = function.flatMap { id in functions.first { $0.id == id }?.name.function.text }
        description = credential.description
        created = credential.created.rfc3339
        expires = credential.expires?.rfc3339
    }
}
