import CasemateIdentity
import CasemateModel
import CasemateStore
import Foundation
import HTTPTypes
import Hummingbird

/// The token endpoint: a service account's client secret for an access token of an hour (RFC 6749 §4.4), or a credential of the API's for
/// a token that opens one function and nothing else (RFC 8693).
extension APIServices {
    var oauthRoutes: [APIRoute] {
        [
            APIRoute(.post, "/oauth/token", needs: .client) { request in
                do {
                    let form = try await TokenRequest(request)
                    switch form.grantType {
                    case "client_credentials": return .json(try await accessToken(form, from: request.source))
                    case OwnIssuer.tokenExchange: return .json(try await exchanged(form, from: request.source))
                    default:
                        throw OAuthError(
                            .unsupportedGrantType, "grant_type must be client_credentials, or \(OwnIssuer.tokenExchange)")
                    }
                } catch let error as OAuthError {
                    return error.response
                }
            }
        ]
    }

    static var accessTokenSeconds: Int64 { 3600 }
    /// Of one account at a time: the oldest ends when there is one more.
    private static var mostAccessTokens: Int { 100 }

    private func accessToken(_ form: TokenRequest, from source: CallerSource?) async throws -> AccessTokenView {
        // What a token may do is what its account may do, at every use.
        guard form.scope == nil else { throw OAuthError(.invalidScope, "scopes are not available for client_credentials; leave scope out") }
        guard form.subjectToken == nil else { throw OAuthError(.invalidRequest, "subject_token belongs to token exchange") }
        guard let shown = form.client else {
            throw OAuthError(.invalidClient, "give client_id and client_secret in the form, or both in Authorization: Basic")
        }
        let client = try await client(shown, from: source)
        let account = client.account
        let fresh = FreshCredential(.accessToken)
        let now = Timestamp.now
        let stored = StoredCredential(
            holder: .serviceAccount(account.id, KeyId(), .accessToken), hash: fresh.hash.bytes, prefix: fresh.prefix, description: "",
            created: now, expires: now.advanced(byMilliseconds: Self.accessTokenSeconds * 1000))
        try await records.write { transaction in
            // What let it in may have gone since it was looked at.
            try client.check(transaction)
            // Those that ended a day ago are of no use even for telling a late client from a guess.
            try transaction.deleteExpiredAccessTokens(at: now.advanced(byMilliseconds: -86_400_000))
            let gone = try transaction.keepNewest(Self.mostAccessTokens - 1, .accessToken, of: account.id)
            try transaction.insert(stored)
            transaction.record(AuditEvent(.tokenIssued, account.auditScope, actor: account.subject, ["prefix": stored.prefix]))
            credentials.replace(gone, by: stored)
        }
        return AccessTokenView(accessToken: fresh.text, expiresIn: Self.accessTokenSeconds)
    }
}

struct AccessTokenView: Encodable, Sendable {
    var accessToken: String
    var tokenType = "Bearer"
    /// In seconds.
    var expiresIn: Int64
    /// Of an exchange alone (RFC 8693 §2.2.1).
    var issuedTokenType: String?
    var scope: String?

    private enum CodingKeys: String, CodingKey {
        case accessToken = "access_token"
        case tokenType = "token_type"
        case expiresIn = "expires_in"
        case issuedTokenType = "issued_token_type"
        case scope
    }
}
