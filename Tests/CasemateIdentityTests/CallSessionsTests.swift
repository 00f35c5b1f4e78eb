import CasemateModel
import Testing

@testable import CasemateIdentity

@Suite("The session of a call")
struct CallSessionsTests {
    private let namespace = NamespaceId()
    private let lookup = FunctionId()
    private let score = FunctionId()
    private let name = FunctionName("plant/score")!
    private let caller = ServiceAccount(
        id: AccountId(), namespaceId: NamespaceId(), namespace: NamespaceName("plant")!, label: AccountLabel("ci")!, secretHash: [],
        secretPrefix: "", created: Timestamp(milliseconds: 0), createdBy: "")
    private let index = CredentialIndex()

    private var principal: Principal { .serviceAccount(AccountPrincipal(caller, rights: .none)) }
    private var here: Resource { .function(score, in: namespace) }
    private var resource: Resource { .function(lookup, in: namespace) }

    private func grant(_ rights: Right...) {
        let grants = rights.map {
            Grant(
                id: GrantId(), subject: .serviceAccount(caller.id), permission: .right($0), resource: .namespace(namespace),
                created: Timestamp(milliseconds: 0), createdBy: "")
        }
        index.load(AccessRecords(credentials: [], accounts: [caller], grants: grants))
    }

    private func sessions() -> CallSessions {
        CallSessions(
            rightsNow: { [index] in index.rightsNow(of: $0) { _ in true } },
            resource: { [resource, here] in
                switch $0.description {
                case "plant/lookup": resource
                case "plant/score": here
                default: nil
                }
            })
    }

    private func rights(_ sessions: CallSessions, _ key: Credential) -> Rights? {
        guard case .session(let session)? = sessions.principal(presenting: key, in: 7) else { return nil }
        return session.rights.on(resource)
    }

    private func key() -> Credential {
        var generator = SystemRandomNumberGenerator()
        return CredentialSeal().sessionKey(using: &generator)
    }

    @Test("gives what is declared and what the caller may, and nothing that is not both")
    func intersection() {
        grant(.functionInvoke, .logsRead, .namespaceAdmin)
        let sessions = sessions()
        let key = key()
        sessions.begin(
            CallSessions.Session(
                of: score, name, for: principal,
                ["plant/lookup:invoke", "plant/lookup:source:read", "plant/gone:invoke"].map { Capability($0)! }), key, in: 7)
        #expect(rights(sessions, key) == Rights(.functionInvoke))
        guard case .session(let session)? = sessions.principal(presenting: key, in: 7) else {
            Issue.record("no session")
            return
        }
        #expect(session.rights.on(.namespace(namespace)).isEmpty)
        #expect(session.rights.on(.platform).isEmpty)
        #expect(session.subject == "service-account:plant/ci via fn:plant/score")
    }

    @Test("loses what its caller loses, at once")
    func revoked() {
        grant(.functionInvoke)
        let sessions = sessions()
        let key = key()
        sessions.begin(CallSessions.Session(of: score, name, for: principal, [Capability("plant/lookup:invoke")!]), key, in: 7)
        #expect(rights(sessions, key) == Rights(.functionInvoke))
        grant()
        #expect(rights(sessions, key) == [])
        index.load(AccessRecords(credentials: []))
        #expect(rights(sessions, key) == [])
    }

    @Test("ends with its call, and is none in another function's sandbox")
    func ends() {
        grant(.functionInvoke)
        let sessions = sessions()
        let (key, other) = (key(), key())
        sessions.begin(CallSessions.Session(of: score, name, for: principal, [Capability("plant/lookup:invoke")!]), key, in: 7)
        #expect(sessions.principal(presenting: key, in: 8) == nil)
        #expect(sessions.principal(presenting: other, in: 7) == nil)
        sessions.end(key)
        #expect(sessions.principal(presenting: key, in: 7) == nil)
    }

    @Test("of a call that a session made gives no more than that session, and nothing once its call is over")
    func chained() throws {
        grant(.functionInvoke, .logsRead)
        let sessions = sessions()
        let (outer, inner) = (key(), key())
        sessions.begin(CallSessions.Session(of: score, name, for: principal, [Capability("plant/lookup:invoke")!]), outer, in: 7)
        let caller = try #require(sessions.principal(presenting: outer, in: 7))
        sessions.begin(
            CallSessions.Session(
                of: lookup, FunctionName("plant/lookup")!, for: caller,
                ["plant/lookup:invoke", "plant/lookup:logs:read"].map { Capability($0)! }), inner, in: 8)
        func innerRights() -> Rights? { sessions.principal(presenting: inner, in: 8)?.rights.on(resource) }
        #expect(innerRights() == Rights(.functionInvoke))
        sessions.end(outer)
        #expect(innerRights() == [])
    }

    @Test("gives nothing for who shows no credential, or is a function")
    func nobody() {
        let sessions = sessions()
        for caller in [Principal.anonymous, .function(score, name)] {
            let key = key()
            sessions.begin(CallSessions.Session(of: score, name, for: caller, [Capability("plant/lookup:invoke")!]), key, in: 7)
            #expect(rights(sessions, key) == [])
        }
    }

    @Test("is gone with its function, whoever has the name then")
    func deleted() {
        grant(.functionInvoke)
        let sessions = sessions()
        let key = key()
        sessions.begin(
            CallSessions.Session(of: FunctionId(), name, for: principal, [Capability("plant/lookup:invoke")!]), key, in: 7)
        #expect(sessions.principal(presenting: key, in: 7) == nil)
    }

    @Test("is never shown by accident")
    func secrecy() {
        let seal = CredentialSeal()
        #expect("\(seal) \(String(reflecting: seal)) \(key())".contains(String(decoding: seal.utf8, as: UTF8.self)) == false)
    }
}
