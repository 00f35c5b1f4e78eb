import CasemateModel

/// What a valid token of a known issuer says. Made only by `IssuerRegistry`.
public struct VerifiedToken: Sendable, Equatable {
    public let issuer: Issuer
    public let subject: String
    /// What its holder is called in grants.
    public let username: String
    public let groups: Set<String>
    public let audiences: [String]
    public let scopes: Set<String>
    public let expires: Timestamp
    /// Signed by this server, for one function. What its holder may do is asked besides.
    public let isOwn: Bool
    /// Whether it can tell of a sign-in: access tokens say by their type (RFC 9068 §2.1), their scopes, or another client, that they don't.
    public var isIdToken: Bool { !isAccessToken && scopes.isEmpty && (text("azp").map { $0 == audiences.first } ?? true) }
    private let isAccessToken: Bool
    /// Nil where it does not say.
    public let issued: Timestamp?
    /// What it is signed with.
    public let algorithm: String
    private let claims: JSONObject
    /// The claims' JSON, as it was signed, in base64url.
    public let encodedClaims: String

    /// Nil where it has no text by which its issuer's people are called.
    init?(_ token: CompactToken, issuer: Issuer, isOwn: Bool = false) {
        let claims = token.claims
        guard let username = claims.text(issuer.usernameClaim), PersonName.isPlain(username), PersonName.isPlain(claims.subject) else {
            return nil
        }
        // An address that its owner has not confirmed may be anyone's.
        guard issuer.usernameClaim != "email" || claims.isEmailVerified else { return nil }
        self.issuer = issuer
        self.isOwn = isOwn
        self.username = username
        subject = claims.subject
        groups = Set((claims.texts(issuer.groupsClaim) ?? []).prefix(1000).filter(PersonName.isPlain))
        audiences = claims.audiences
        scopes = claims.scopes
        expires = Timestamp(milliseconds: (claims.expires + IssuerRegistry.leewayInSeconds) * 1000)
        algorithm = token.algorithm
        isAccessToken = token.type == "at+jwt"
        issued = claims.issuedAt.map { Timestamp(milliseconds: $0 * 1000) }
        self.claims = claims.fields
        encodedClaims = Base64URL.encode(claims.bytes)
    }

    /// A claim that is one text.
    public func text(_ name: String) -> String? {
        // An address that its owner has not confirmed may be anyone's.
        if name == "email", claims["email_verified"] != .flag(true) { return nil }
        if case .text(let text)? = claims[name] { return text }
        return nil
    }

    func isValid(at now: Timestamp) -> Bool { now < expires }

    /// Whether it was made out for one of `ours`, and for nobody else: of two audiences each could use it at the other (RFC 8725 §3.9).
    public func isFor(_ ours: some Collection<String>) -> Bool {
        audiences.count == 1 && ours.contains { $0.utf8.elementsEqual(audiences[0].utf8) }
    }
}
