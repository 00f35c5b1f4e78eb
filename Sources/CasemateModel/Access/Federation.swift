/// A pipeline's way in without a stored secret: whoever shows a token of this issuer with exactly these claims acts as the account.
public struct Federation: Sendable, Equatable {
    public let id: FederationId
    public let account: AccountId
    public let issuer: IssuerId
    /// By claim. All of them must be in the token, each the same to the byte.
    public let claims: [String: String]
    public let created: Timestamp
    /// The subject of whoever made it.
    public let createdBy: String

    public init(id: FederationId, account: AccountId, issuer: IssuerId, claims: [String: String], created: Timestamp, createdBy: String) {
        self.id = id
        self.account = account
        self.issuer = issuer
        self.claims = claims
        self.created = created
        self.createdBy = createdBy
    }

    /// Whether a token that says `claim` of itself by these names meets all of them.
    public func isMet(by claim: (String) -> String?) -> Bool {
        !claims.isEmpty && claims.allSatisfy { name, value in claim(name).map { $0.utf8.elementsEqual(value.utf8) } ?? false }
    }

    public static let mostClaims = 16

    /// Whether `claims` say enough: some, none of those that every token of the issuer shares, or that change from token to token.
    public static func areFit(_ claims: [String: String]) -> Bool {
        (1...mostClaims).contains(claims.count)
            && claims.allSatisfy { name, value in
                (1...64).contains(name.utf8.count) && (1...512).contains(value.utf8.count) && !unfit.contains(name)
            }
    }

    private static let unfit: Set<String> = ["iss", "aud", "exp", "nbf", "iat", "jti", "nonce"]
    public static let rule = "claims: 1 to \(mostClaims), each a text that the token must have exactly; not iss, aud, jti or a time"
}
