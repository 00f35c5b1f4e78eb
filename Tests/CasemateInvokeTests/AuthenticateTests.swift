import CasemateIdentity
import CasemateModel
import NIOHTTP1
import Testing

@testable import CasemateInvoke

@Suite("Who calls")
struct AuthenticateTests {
    private let key = KeyId()
    private var authenticate: Authenticate {
        Authenticate(
            index: InvokeFixture.index([("cma_admin", .administrator(key))]), issuers: InvokeFixture.issuers,
            sessions: InvokeFixture.sessions)
    }

    @Test("a call without a credential is anonymous")
    func anonymous() throws {
        let call = try authenticate(InvokeFixture.incoming("ns/fn"))
        #expect(call.principal == .anonymous)
        #expect(call.token == nil)
    }

    @Test("a known credential names its holder, and its bytes are kept for redaction")
    func known() throws {
        let call = try authenticate(InvokeFixture.incoming("ns/fn", .text("cma_admin")))
        #expect(call.principal == .administrator(key))
        #expect(call.token == Array("cma_admin".utf8))
    }

    @Test("unknown and malformed credentials are refused alike")
    func refused() {
        var details: Set<String> = []
        for credential in [PresentedCredential.text("cma_other"), .malformed] {
            let problem = #expect(throws: Problem.self) { try authenticate(InvokeFixture.incoming("ns/fn", credential)) }
            #expect(problem?.code == .unauthenticated)
            if let problem { details.insert("\(problem) \(problem.reason ?? "") \(problem.retryAfterSeconds ?? 0)") }
        }
        #expect(details.count == 1)
    }

    @Test("a function's token is none in a bearer, where it would be taken for a right to the API; an API key is one")
    func bearer() throws {
        let holder = StoredCredential.Holder.functionToken(TokenId(), namespace: InvokeFixture.namespace, function: nil)
        let authenticate = Authenticate(
            index: InvokeFixture.index([("cmt_token", holder), ("cma_admin", .administrator(key))]), issuers: InvokeFixture.issuers,
            sessions: InvokeFixture.sessions)
        #expect(throws: Problem(.unauthenticated, "")) {
            try authenticate(InvokeFixture.incoming("ns/fn", .text("cmt_token", inBearer: true)))
        }
        _ = try authenticate(InvokeFixture.incoming("ns/fn", .text("cmt_token")))
        _ = try authenticate(InvokeFixture.incoming("ns/fn", .text("cma_admin", inBearer: true)))
    }

    private func presented(_ fields: [(String, String)]) -> String {
        switch PresentedCredential(HTTPHeaders(fields)) {
        case .none: "none"
        case .malformed: "malformed"
        case .sandbox, .session: "a sandbox"
        case .accepted: "accepted"
        case .token: "a token"
        case .one(let credential, let inBearer): String(decoding: credential.utf8, as: UTF8.self) + (inBearer ? " in a bearer" : "")
        }
    }

    @Test("a JSON Web Token is one in a bearer alone, and beside nothing else")
    func tokens() {
        let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.AAAA"
        #expect(presented([("Authorization", "Bearer \(token)")]) == "a token")
        #expect(presented([("X-Auth-Token", token)]) == token)
        #expect(presented([("Authorization", "Bearer \(token)"), ("X-Auth-Token", token)]) == "\(token)")
        #expect(presented([("Authorization", "Bearer \(token)"), ("Authorization", "Bearer \(token)")]) == "\(token) in a bearer")
    }

    @Test("a token that nobody vouches for is refused like any other credential")
    func untrusted() throws {
        let call = InvokeFixture.incoming("ns/fn", .token("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.AAAA"))
        #expect(authenticate.issuer(neededFor: call) == nil)
        #expect(throws: Problem(.unauthenticated, "")) { try authenticate(call) }
    }

    @Test("X-Auth-Token and a bearer are credentials, in any case")
    func fields() {
        #expect(presented([]) == "none")
        #expect(presented([("X-Auth-Token", "t")]) == "t")
        #expect(presented([("x-auth-TOKEN", "t")]) == "t")
        #expect(presented([("Authorization", "Bearer t")]) == "t in a bearer")
        #expect(presented([("authorization", "bEARER   t ")]) == "t in a bearer")
        #expect(presented([("X-Auth-Token", "t"), ("Authorization", "Bearer t")]) == "t")
    }

    @Test("two that differ, another scheme and what can't be a credential are malformed")
    func malformed() {
        #expect(presented([("X-Auth-Token", "t"), ("Authorization", "Bearer u")]) == "malformed")
        #expect(presented([("X-Auth-Token", "t"), ("X-Auth-Token", "u")]) == "malformed")
        #expect(presented([("Authorization", "Basic dDp0")]) == "malformed")
        #expect(presented([("X-Auth-Token", "t"), ("Authorization", "Basic dDp0")]) == "malformed")
        #expect(presented([("Authorization", "t")]) == "malformed")
        #expect(presented([("Authorization", "Bearer")]) == "malformed")
        #expect(presented([("Authorization", "Bearer ")]) == "malformed")
        #expect(presented([("X-Auth-Token", "")]) == "malformed")
        #expect(presented([("X-Auth-Token", "a b")]) == "malformed")
        #expect(presented([("Authorization", "Bearer a b")]) == "malformed")
        #expect(presented([("X-Auth-Token", String(repeating: "x", count: 513))]) == "malformed")
    }
}
