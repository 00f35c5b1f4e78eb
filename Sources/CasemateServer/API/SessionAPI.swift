import CasemateIdentity
import CasemateModel
import HTTPTypes

/// Sessions that are made before the call that they are for.
extension APIServices {
    var sessionRoutes: [APIRoute] {
        [
            APIRoute(.post, "/v1/sessions", needs: .credential) { request in
                let body: NewSession = try await request.json(limit: 4096)
                let maker = request.principal
                if case .session = maker { throw Problem(.forbidden, "a function has the session of its call, and makes no other") }
                let holder = try holder(of: body, maker, from: request.source)
                let (session, nonce) = try prepared.prepare(for: holder, by: maker)
                var view = SessionView(session)
                view.nonce = nonce.text
                return .json(view, status: .created)
            },
            APIRoute(.get, "/v1/sessions", needs: .credential) { request in
                try request.allowQuery([])
                return .json(SessionList(sessions: prepared.list(of: request.principal).map(SessionView.init)))
            },
            APIRoute(.delete, "/v1/sessions/{session}", needs: .credential) { request in
                guard let id = SessionId(request.parameter("session")) else { throw Problem(.invalidRequest, "a session's id is a UUID") }
                guard prepared.revoke(id, of: request.principal) else { throw Problem(.notFound, "there is no such session of yours") }
                return .noContent
            },
        ]
    }

    /// Themselves, or the service account whose secret they know.
    private func holder(of body: NewSession, _ maker: Principal, from source: CallerSource?) throws(Problem) -> Principal {
        guard body.clientId != nil || body.clientSecret != nil else { return maker }
        guard let id = body.clientId, let secret = body.clientSecret else {
            throw Problem(.invalidRequest, "clientId and clientSecret belong together")
        }
        guard let account = try credentials.account(AccountId(id), presenting: Credential(secret), from: source) else {
            throw Problem(.forbidden, "client id and secret do not belong together")
        }
        return .serviceAccount(AccountPrincipal(account, rights: .none))
    }
}

struct NewSession: StrictDecodable {
    static let fields: Set<String> = ["clientId", "clientSecret"]
    var clientId: String?
    var clientSecret: String?
}

struct SessionList: Encodable, Sendable { var sessions: [SessionView] }

struct SessionView: Encodable, Sendable {
    var id: String
    /// On whose behalf the call will run.
    var subject: String
    var created: String
    var expires: String
    /// Shown once.
    var nonce: String?

    init(_ session: PreparedSessions.Session) {
        id = session.id.text
        subject = session.holder.subject
        created = session.created.rfc3339
        expires = session.expires.rfc3339
    }
}
