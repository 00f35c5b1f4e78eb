import CasemateIdentity
import CasemateModel
import CasemateStore

/// A client that was let in, and what must still hold when it is given something.
struct OAuthClient: Sendable {
    let account: ServiceAccount
    fileprivate let stillHolds: @Sendable (Transaction) throws -> Bool
    fileprivate let refusal: OAuthError

    /// Within the transaction that gives.
    func check(_ transaction: Transaction) throws {
        guard try stillHolds(transaction) else { throw refusal }
    }
}

extension APIServices {
    /// The account whose secret, or whose trusted token, a client shows.
    func client(_ shown: TokenRequest.Client, from source: CallerSource?) async throws -> OAuthClient {
        switch shown {
        case .secret(let id, let secret, let isBasic):
            let mismatch = OAuthError(.invalidClient, "client id and secret do not belong together", isBasic: isBasic)
            guard let account = try credentials.account(AccountId(id), presenting: Credential(secret), from: source) else { throw mismatch }
            return OAuthClient(
                account: account, stillHolds: { try $0.serviceAccount(account.id)?.secretHash == account.secretHash }, refusal: mismatch)
        case .assertion(let id, let text):
            return try await client(AccountId(id), asserting: text, from: source)
        }
    }

    /// RFC 7523 §2.2, but for `sub`, which says what the issuer calls the pipeline: which account that is our rules say.
    private func client(_ id: AccountId?, asserting text: String, from source: CallerSource?) async throws -> OAuthClient {
        await authentication.prepare(text, from: source)
        guard IssuerRegistry.isLikely(text), let token = try authentication.token(text, from: source) else {
            throw OAuthError(.invalidClient, "the client assertion is not a valid token of a trusted issuer for this server")
        }
        // Alike where there is no such account: a valid token is not told which there are.
        let refusal = OAuthError(.accessDenied, "no rule of that client's lets this token in")
        guard let id, let (account, federations) = try await federations(of: id),
            let met = federations.first(where: { $0.issuer == token.issuer.id && $0.isMet { token.text($0) } })
        else { throw refusal }
        return OAuthClient(account: account, stillHolds: { try $0.federations(of: id).contains(met) }, refusal: refusal)
    }

    private func federations(of id: AccountId) async throws -> (ServiceAccount, [Federation])? {
        try await records.read { transaction in
            try transaction.serviceAccount(id).map { ($0, try transaction.federations(of: id)) }
        }
    }
}
