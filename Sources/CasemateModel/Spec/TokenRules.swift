/// What a function demands of identity providers' tokens, besides what is demanded always. A rule narrows; nothing but `audiences` widens,
/// and that to tokens which nobody takes for anything else here.
public struct TokenRules: Hashable, Sendable, Codable {
    /// Nil for those of any issuer that is trusted.
    public var issuers: [IssuerLabel]?
    /// Besides the function's own URL, an audience of tokens that are for it; nil for none.
    public var audiences: [String]?
    /// All of which a token must have.
    public var scopes: [String]?
    /// Nil for whatever the issuer may sign with.
    public var algorithms: [String]?

    public init(issuers: [IssuerLabel]? = nil, audiences: [String]? = nil, scopes: [String]? = nil, algorithms: [String]? = nil) {
        self.issuers = issuers
        self.audiences = audiences
        self.scopes = scopes
        self.algorithms = algorithms
    }

    public var isEmpty: Bool { self == TokenRules() }
}
