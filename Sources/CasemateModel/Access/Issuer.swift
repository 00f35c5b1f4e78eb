/// What an identity provider is called here.
public struct IssuerLabel: LabelName {
    public static let noun = "issuer name"
    public let text: String
    public init(unchecked text: String) { self.text = text }
}

/// An identity provider whose tokens are taken (OpenID Connect Core 1.0, RFC 8414).
public struct Issuer: Sendable, Equatable {
    public var id: IssuerId
    public var name: IssuerLabel
    /// Exactly as tokens have it in `iss`: no other spelling is the same.
    public var url: String
    /// Of which a token must have one in `aud` to be taken at the API, besides none that is not listed.
    public var audiences: [String]
    /// The claim that people are called by; `sub` is never given to somebody else.
    public var usernameClaim: String
    public var groupsClaim: String
    /// What its tokens may be signed with.
    public var algorithms: [String]
    /// A certificate authority to trust besides the system's, in PEM.
    public var authority: String?
    /// The public client (RFC 6749 §2.1) that people sign in by from the command line; nil where they can't.
    public var clientId: String?
    /// What is asked for then.
    public var scope: String
    /// People may sign in by a code that they type elsewhere. Nothing ties such a sign-in to this server but their eyes.
    public var allowsDevice = false
    /// Its tokens stand for service accounts alone, by the rules of those: where anyone can get one, for any audience.
    public var isForPipelines = false
    public var created: Timestamp
    public var createdBy: String

    public init(
        id: IssuerId, name: IssuerLabel, url: String, audiences: [String], usernameClaim: String = "sub", groupsClaim: String = "groups",
        algorithms: [String] = Issuer.defaultAlgorithms, authority: String? = nil, clientId: String? = nil,
        scope: String = Issuer.defaultScope, created: Timestamp, createdBy: String
    ) {
        self.id = id
        self.name = name
        self.url = url
        self.audiences = audiences
        self.usernameClaim = usernameClaim
        self.groupsClaim = groupsClaim
        self.algorithms = algorithms
        self.authority = authority
        self.clientId = clientId
        self.scope = scope
        self.created = created
        self.createdBy = createdBy
    }

    /// Signatures by a private key alone: with HS256 whoever can verify can sign, and a public key would do as the secret (RFC 8725 §3.2).
    public static let allAlgorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
    /// What providers use.
    public static let defaultAlgorithms = ["RS256", "PS256", "ES256", "EdDSA"]

    public static let defaultScope = "openid profile email"

    /// Whether `url` can be an issuer's: https, without query or fragment (OpenID Connect Discovery 1.0 §2); http on loopback, for tests.
    public static func isURL(_ url: String) -> Bool {
        guard (9...512).contains(url.utf8.count), url.utf8.allSatisfy({ (33...126).contains($0) }), !url.contains("?"), !url.contains("#"),
            !url.contains("@"), !url.contains("\\")
        else { return false }
        if url.hasPrefix("https://") { return url.dropFirst(8).first.map { $0 != "/" && $0 != ":" } ?? false }
        return ["http://127.0.0.1", "http://[::1]", "http://localhost"].contains { start in
            url.hasPrefix(start) && (url.dropFirst(start.count).first.map { $0 == ":" || $0 == "/" } ?? true)
        }
    }
}
