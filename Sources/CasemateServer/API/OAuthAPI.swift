import CasemateIdentity
import CasemateModel
import CasemateStore
import Foundation
import HTTPTypes
import Hummingbird

/// The token endpoint: a service account's client secret for an access token of an hour (RFC 6749 §4.4).
extension APIServices {
    var oauthRoutes: [APIRoute] {
        [
            APIRoute(.post, "/oauth/token", needs: .client) { request in
                do {
                    return .json(try await accessToken(try await TokenRequest(request), from: request.source))
                } catch let error as OAuthError {
                    return error.response
                }
            }
        ]
    }

    static var accessTokenSeconds: Int64 { 3600 }
    /// Of one account at a time: the oldest ends when there is one more.
    private static var mostAccessTokens: Int { 100 }
    private static var mismatch: String { "client id and secret do not belong together" }

    private func accessToken(_ form: TokenRequest, from source: CallerSource?) async throws -> AccessTokenView {
        guard form.grantType == "client_credentials" else {
            throw OAuthError(.unsupportedGrantType, "grant_type must be client_credentials")
        }
        guard
            let account = try credentials.account(
                AccountId(form.client.id), presenting: Credential(form.client.secret), from: source)
        else { throw OAuthError(.invalidClient, Self.mismatch, isBasic: form.client.isBasic) }
        // What a token may do is what its account may do, at every use.
        guard form.scope == nil else { throw OAuthError(.invalidScope, "scopes are not available for client_credentials; leave scope out") }
        let fresh = FreshCredential(.accessToken)
        let now = Timestamp.now
        let stored = StoredCredential(
            holder: .serviceAccount(account.id, KeyId(), .accessToken), hash: fresh.hash.bytes, prefix: fresh.prefix, description: "",
            created: now, expires: now.advanced(byMilliseconds: Self.accessTokenSeconds * 1000))
        try await records.write { transaction in
            // The secret may have been rotated since it was looked at.
            guard try transaction.serviceAccount(account.id)?.secretHash == account.secretHash else {
                throw OAuthError(.invalidClient, Self.mismatch, isBasic: form.client.isBasic)
            }
            // Those that ended a day ago are of no use even for telling a late client from a guess.
            try transaction.deleteExpiredAccessTokens(at: now.advanced(byMilliseconds: -86_400_000))
            let gone = try transaction.keepNewest(Self.mostAccessTokens - 1, .accessToken, of: account.id)
            try transaction.insert(stored)
            credentials.replace(gone, by: stored)
        }
        return AccessTokenView(accessToken: fresh.text, tokenType: "Bearer", expiresIn: Self.accessTokenSeconds)
    }
}

struct AccessTokenView: Encodable, Sendable {
    var accessToken: String
    var tokenType: String
    /// In seconds.
    var expiresIn: Int64

    private enum CodingKeys: String, CodingKey {
        case accessToken = "access_token"
        case tokenType = "token_type"
        case expiresIn = "expires_in"
    }
}

/// The form of a token request, with the client's credential from wherever it stood.
private struct TokenRequest {
    struct Client {
        var id: String
        var secret: String
        var isBasic: Bool
    }

    let grantType: String
    let scope: String?
    let client: Client

    private struct Form: Decodable {
        var grantType: String?
        var scope: String?
        var clientId: String?
        var clientSecret: String?

        enum CodingKeys: String, CodingKey {
            case grantType = "grant_type"
            case scope
            case clientId = "client_id"
            case clientSecret = "client_secret"
        }
    }

    init(_ request: APIRequest) async throws(OAuthError) {
        guard request.query.isEmpty else { throw OAuthError(.invalidRequest, "parameters belong in the body, where no log has them") }
        let type = request.request.headers[.contentType]?.split(separator: ";").first?.trimmingCharacters(in: .whitespaces).lowercased()
        guard type == "application/x-www-form-urlencoded" else {
            throw OAuthError(.invalidRequest, "the body is a form (application/x-www-form-urlencoded)")
        }
        let form: Form
        do {
            // A parameter that stands twice is refused by the decoder, as RFC 6749 §3.2 wants it.
            form = try URLEncodedFormDecoder().decode(
                Form.self, from: String(decoding: try await request.body(limit: 16_384), as: UTF8.self))
        } catch {
            throw OAuthError(.invalidRequest, "the form can't be read")
        }
        guard let grantType = form.grantType else { throw OAuthError(.invalidRequest, "grant_type is missing") }
        self.grantType = grantType
        scope = form.scope
        let inForm = form.clientSecret != nil
        if let header = request.request.headers[.authorization] {
            guard !inForm else { throw OAuthError(.invalidRequest, "the client's credential stands twice") }
            guard let client = Self.basic(header) else {
                throw OAuthError(.invalidClient, "Authorization must be Basic, with client id and secret", isBasic: true)
            }
            self.client = client
        } else {
            guard let id = form.clientId, let secret = form.clientSecret else {
                throw OAuthError(.invalidClient, "give client_id and client_secret in the form, or both in Authorization: Basic")
            }
            client = Client(id: id, secret: secret, isBasic: false)
        }
    }

    /// RFC 6749 §2.3.1: both parts are form-encoded before they are put together.
    private static func basic(_ header: String) -> Client? {
        let parts = header.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "basic",
            let data = Data(base64Encoded: parts[1].trimmingCharacters(in: .whitespaces)),
            let text = String(validating: data, as: UTF8.self), let colon = text.firstIndex(of: ":"),
            let id = text[..<colon].removingPercentEncoding, let secret = text[text.index(after: colon)...].removingPercentEncoding
        else { return nil }
        return Client(id: id, secret: secret, isBasic: true)
    }
}

/// RFC 6749 §5.2: the errors of the token endpoint have a form of their own, which every client library knows.
private struct OAuthError: Error {
    enum Code: String {
        case invalidRequest = "invalid_request"
        case invalidClient = "invalid_client"
        case unsupportedGrantType = "unsupported_grant_type"
        case invalidScope = "invalid_scope"

        var status: HTTPResponse.Status {
            switch self {
            case .invalidClient: .unauthorized
            case .invalidRequest, .unsupportedGrantType, .invalidScope: .badRequest
            }
        }
    }

    let code: Code
    let detail: String
    let isBasic: Bool

    init(_ code: Code, _ detail: String, isBasic: Bool = false) {
        self.code = code
        self.detail = detail
        self.isBasic = isBasic
    }

    private struct Body: Encodable {
        var error: String
        var detail: String

        private enum CodingKeys: String, CodingKey {
            case error
            case detail = "error_description"
        }
    }

    var response: APIResponse {
        .json(
            Body(error: code.rawValue, detail: detail), status: code.status,
            headers: code == .invalidClient ? [.wwwAuthenticate: "Basic realm=\"casemate\""] : [:])
    }
}
