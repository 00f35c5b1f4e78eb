import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes

/// Who is signed in, and sessions that are made before the call that they are for.
extension APIServices {
    var sessionRoutes: [APIRoute] {
        [
            APIRoute(.post, "/v1/sessions", needs: .credential) { request in
                let body: NewSession = try await request.json(limit: 4096)
                let maker = request.principal
                if case .session = maker { throw Problem(.forbidden, "a function has the session of its call, and makes no other") }
                guard maker.rights != .none else { throw Problem(.forbidden, "who may do nothing needs no session") }
                let holder = try holder(of: body, maker, from: request.source)
                try await audited(AuditEvent(.nonceCreated, ["for": holder.subject]))
                let (session, nonce) = try prepared.prepare(for: holder, by: maker)
                var view = SessionView(session)
                view.nonce = nonce.text
                return .json(view, status: .created)
            },
            APIRoute(.get, "/v1/sessions", needs: .credential) { request in
                try request.allowQuery([])
                let principal = request.principal
                let signIns = try await records.read { try $0.signIns() }.compactMap { credentials.signIn($0) }
                let own = signIns.filter {
                    $0.principal.identity == principal.identity || principal.rights.has(.platformAdmin, on: .platform)
                }
                return .json(
                    SessionList(
                        sessions: own.map { SessionView($0.stored, $0.principal, isThis: $0.principal.signIn == principal.signIn) }
                            + prepared.list(of: principal).map(SessionView.init)))
            },
            APIRoute(.delete, "/v1/sessions/{session}", needs: .credential) { request in
                guard let id = SessionId(request.parameter("session")) else { throw Problem(.invalidRequest, "a session's id is a UUID") }
                let principal = request.principal
                if prepared.list(of: principal).contains(where: { $0.id == id }) {
                    try await audited(AuditEvent(.signedOut, ["session": id.text, "of": principal.subject]))
                    if prepared.revoke(id, of: principal) { return .noContent }
                }
                try await changeAccess { transaction in
                    let found = try transaction.signIns().lazy.compactMap { credentials.signIn($0) }.first { $0.principal.signIn == id }
                    guard let found,
                        found.principal.identity == principal.identity || request.principal.rights.has(.platformAdmin, on: .platform)
                    else { throw Problem(.notFound, "there is no such session of yours") }
                    _ = try transaction.deleteSignIn(id)
                    transaction.record(.signedOut, .platform, ["session": id.text, "of": found.principal.subject])
                }
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
    /// `sign-in`: somebody's, for the day. `call`: made before a call, for that.
    var kind: String
    /// Who signed in; on whose behalf the call will run.
    var subject: String
    /// Of a sign-in: where.
    var description: String?
    var lastUsed: String?
    /// The one that asks.
    var current: Bool?
    var created: String
    var expires: String
    /// Shown once.
    var nonce: String?

    init(_ session: PreparedSessions.Session) {
        kind = "call"
        id = session.id.text
        subject = session.holder.subject
        created = session.created.rfc3339
        expires = session.expires.rfc3339
    }

    init(_ stored: StoredCredential, _ person: Principal, isThis: Bool) {
        kind = "sign-in"
        id = person.signIn?.text ?? ""
        subject = person.subject
        description = stored.description
        lastUsed = stored.lastUsed?.rfc3339
        current = isThis ? true : nil
        created = stored.created.rfc3339
        expires = stored.expires?.rfc3339 ?? ""
    }
}
