import CasemateIdentity
import CasemateModel

/// Who shows a credential of the API's: at its operations, and at the token endpoint to have it exchanged.
struct APIAuthentication: Sendable {
    let credentials: CredentialIndex
    let issuers: IssuerRegistry

    /// Has the keys fetched that a token was signed with, where they are not here.
    func prepare(_ text: String, from source: CallerSource?) async {
        guard IssuerRegistry.isLikely(text), issuers.isKnown(text) || (try? credentials.isNew(from: source)) != nil,
            case .needsKeys(let id, _) = issuers.verify(text)
        else { return }
        await issuers.fetchKeys(of: id)
    }

    /// Nil for what is no valid credential, of whatever kind.
    /// - Parameter mayBeToken: whether a JSON Web Token may stand where this stood.
    /// - Throws: `.rateLimited` where many wrong ones come from the same place; `.unavailable` while a token's issuer can't be asked.
    func principal(showing text: String, mayBeToken: Bool = true, from source: CallerSource?) throws(Problem) -> Principal? {
        if mayBeToken, IssuerRegistry.isLikely(text) { return try person(text, from: source) }
        guard let credential = Credential(text) else { return nil }
        return try credentials.principal(presenting: credential, from: source)
    }

    /// Whom a token stands for that was made out for this server.
    private func person(_ text: String, from source: CallerSource?) throws(Problem) -> Principal? {
        guard let token = try token(text, from: source) else { return nil }
        guard !token.issuer.isForPipelines else {
            try credentials.failed(from: source)
            return nil
        }
        return credentials.person(token)
    }

    /// A valid token of an identity provider's; nil for what is none.
    /// - Parameter audiences: those that it may be made out for, by its issuer.
    /// - Throws: `.rateLimited`, `.unavailable` as `principal` does.
    func token(
        _ text: String, for audiences: (Issuer) -> [String] = { $0.audiences }, from source: CallerSource?
    ) throws(Problem) -> VerifiedToken? {
        if !issuers.isKnown(text) { try credentials.isNew(from: source) }
        switch issuers.verify(text) {
        case .valid(let token) where token.isFor(audiences(token.issuer)): return token
        case .valid, .refused, .needsKeys(_, hasSome: true):
            try credentials.failed(from: source)
            return nil
        case .needsKeys, .unavailable:
            throw Problem(.unavailable, "the token's issuer can't be asked for its keys", retryAfterSeconds: 15)
        }
    }
}
