import CasemateIdentity
import CasemateModel
import CasemateStore
import Crypto
import HTTPTypes

/// People sign in at their identity provider; what that says of them is good for a working day here.
extension APIServices {
    private static var lifetimeInHours: Int64 { 8 }
    /// How old what the provider says may be: it is about somebody who is there now.
    private static var freshForMilliseconds: Int64 { 600_000 }
    private static var mostOfOnePerson: Int { 20 }
    private static var most: Int { 20_000 }

    var signInRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/sign-in", needs: .anyone) { request in
                try request.allowQuery([])
                let issuers = try await records.read { try $0.issuers() }
                return .json(SignInWays(issuers: issuers.compactMap(SignInWays.Way.init)))
            },
            APIRoute(.post, "/v1/sign-in", needs: .client) { request in
                let body = try Self.signIn(try await request.body(limit: 65_536))
                return .json(try await signedIn(body, from: request.source), status: .created)
            },
        ]
    }

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func signIn(_ bytes: [UInt8]) throws -> NewSignIn {
        let body: NewSignIn = try StrictJSON.decode(bytes)
        guard (body.seed ?? "").utf8.count <= 200 else { throw Problem(.invalidRequest, "a seed is at most 200 bytes") }
        guard (body.description ?? "").utf8.count <= 200 else { throw Problem(.invalidRequest, "a description is at most 200 bytes") }
        return body
    }

    /// An ID token (OpenID Connect Core 1.0 §2) for our client and for a sign-in here, fresh and never shown before, for a session of whom it
    /// names.
    private func signedIn(_ body: NewSignIn, from source: CallerSource?) async throws -> SignedInView {
        await authentication.prepare(body.idToken, from: source)
        let now = Timestamp.now
        guard IssuerRegistry.isLikely(body.idToken),
            let token = try authentication.token(body.idToken, for: { $0.clientId.map { [$0] } ?? [] }, from: source),
            token.issuer.name == body.issuer, token.isIdToken,
            let issued = token.issued, now.milliseconds - issued.milliseconds < Self.freshForMilliseconds
        else {
            throw Problem(.unauthenticated, "that is no fresh ID token of \(body.issuer) for this server's client: sign in again")
        }
        try checkNonce(of: token, seed: body.seed)
        let fresh = FreshCredential(.signIn)
        let person = SignedInPerson(
            issuer: token.issuer.id, subject: token.subject, username: token.username, groups: token.groups.sorted())
        let stored = StoredCredential(
            holder: .person(SessionId(), person), hash: fresh.hash.bytes, prefix: fresh.prefix, description: body.description ?? "",
            created: now, expires: now.advanced(byMilliseconds: Self.lifetimeInHours * 3_600_000))
        let signed = body.idToken.utf8.prefix(upTo: body.idToken.utf8.lastIndex(of: UInt8(ascii: ".")) ?? body.idToken.utf8.endIndex)
        let proof = Array(SHA256.hash(data: Array(signed)))
        try await records.write { transaction in
            try transaction.deleteExpiredSignIns(at: now)
            try transaction.use(proof: proof, until: now.advanced(byMilliseconds: 2 * Self.freshForMilliseconds))
            guard let issuer = try transaction.issuer(body.issuer), issuer == token.issuer else {
                throw Problem(.unauthenticated, "the issuer \(body.issuer) is not trusted any more")
            }
            var gone: [[UInt8]] = []
            for id in try transaction.signIns(of: person).dropLast(Self.mostOfOnePerson - 1) {
                if let hash = try transaction.deleteSignIn(id) { gone.append(hash) }
            }
            guard try transaction.countSignIns() < Self.most else {
                throw Problem(.unavailable, "too many people are signed in", retryAfterSeconds: 600)
            }
            try transaction.insert(signIn: stored)
            transaction.record(AuditEvent(.signedIn, actor: credentials.person(token).subject, ["issuer": body.issuer.text]))
            credentials.replace(gone, by: stored)
        }
        return SignedInView(
            token: fresh.text, expires: stored.expires?.rfc3339 ?? "", subject: credentials.person(token).subject)
    }

    /// A sign-in in a browser is for the server whose URL whoever signs in wrote, and for no other that the token may be carried to. One by a
    /// code has no nonce: where that is taken, people must see where they sign in.
    private func checkNonce(of token: VerifiedToken, seed: String?) throws(Problem) {
        if let seed {
            guard let nonce = token.text("nonce"), nonce == SignInNonce.make(server: urls.api, seed: seed) else {
                throw Problem(.unauthenticated, "that sign-in is for another server than \(urls.api): casemate login --server \(urls.api)")
            }
        } else {
            guard token.issuer.allowsDevice, token.text("nonce") == nil else {
                throw Problem(
                    .unauthenticated, "a sign-in by a code is not taken from \(token.issuer.name) (casemate issuer add … --device)")
            }
        }
    }
}

struct NewSignIn: StrictDecodable {
    static let fields: Set<String> = ["issuer", "idToken", "seed", "description"]
    var issuer: IssuerLabel
    var idToken: String
    /// What its nonce was made of; nil for a sign-in by a code.
    var seed: String?
    /// Where, for the list of one's sessions.
    var description: String?
}

struct SignedInView: Encodable, Sendable {
    /// Shown once.
    var token: String
    var expires: String
    var subject: String
}

/// What a command line needs to send somebody to their identity provider.
struct SignInWays: Encodable, Sendable {
    struct Way: Encodable, Sendable {
        var name: String
        var url: String
        var clientId: String
        var scope: String
        /// Certificates to trust besides the system's, in PEM.
        var authority: String?

        /// Nil for one that people can't sign in at from here.
        init?(_ issuer: Issuer) {
            guard let clientId = issuer.clientId else { return nil }
            self.clientId = clientId
            name = issuer.name.text
            url = issuer.url
            scope = issuer.scope
            authority = issuer.authority
        }
    }

    var issuers: [Way]
}
