import Foundation
import HTTPTypes
import Hummingbird

/// The form of a token request, with the client's credential from wherever it stood.
struct TokenRequest {
    enum Client {
        case secret(id: String, secret: String, isBasic: Bool)
        /// RFC 7521 §4.2: a token in a secret's place.
        case assertion(id: String, token: String)
    }

    static let assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

    let grantType: String
    let scope: String?
    /// Nil where the request has none: an exchange needs no client but the token that is exchanged.
    let client: Client?
    let subjectToken: String?
    let subjectTokenType: String?
    let requestedTokenType: String?
    let actorToken: String?
    /// Where the token is to be used: both say it.
    let targets: [String]

    private struct Form: Decodable {
        var grantType: String?
        var scope: String?
        var clientId: String?
        var clientSecret: String?
        var clientAssertion: String?
        var clientAssertionType: String?
        var subjectToken: String?
        var subjectTokenType: String?
        var requestedTokenType: String?
        var actorToken: String?
        var audience: String?
        var resource: String?

        enum CodingKeys: String, CodingKey {
            case grantType = "grant_type"
            case scope
            case clientId = "client_id"
            case clientSecret = "client_secret"
            case clientAssertion = "client_assertion"
            case clientAssertionType = "client_assertion_type"
            case subjectToken = "subject_token"
            case subjectTokenType = "subject_token_type"
            case requestedTokenType = "requested_token_type"
            case actorToken = "actor_token"
            case audience, resource
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
                Form.self, from: String(decoding: try await request.body(limit: 32_768), as: UTF8.self))
        } catch {
            throw OAuthError(.invalidRequest, "the form can't be read")
        }
        guard let grantType = form.grantType else { throw OAuthError(.invalidRequest, "grant_type is missing") }
        self.grantType = grantType
        scope = form.scope
        subjectToken = form.subjectToken
        subjectTokenType = form.subjectTokenType
        requestedTokenType = form.requestedTokenType
        actorToken = form.actorToken
        targets = [form.audience, form.resource].compactMap { $0 }
        let inForm = form.clientSecret != nil || form.clientAssertion != nil
        if let header = request.request.headers[.authorization] {
            guard !inForm else { throw OAuthError(.invalidRequest, "the client's credential stands twice") }
            guard let client = Self.basic(header) else {
                throw OAuthError(.invalidClient, "Authorization must be Basic, with client id and secret", isBasic: true)
            }
            self.client = client
        } else if let secret = form.clientSecret {
            guard let id = form.clientId else { throw OAuthError(.invalidClient, "client_id is missing") }
            guard form.clientAssertion == nil else { throw OAuthError(.invalidRequest, "the client's credential stands twice") }
            client = .secret(id: id, secret: secret, isBasic: false)
        } else if let token = form.clientAssertion {
            guard form.clientAssertionType == Self.assertionType else {
                throw OAuthError(.invalidRequest, "client_assertion_type must be \(Self.assertionType)")
            }
            guard let id = form.clientId else { throw OAuthError(.invalidClient, "client_id is missing") }
            client = .assertion(id: id, token: token)
        } else {
            client = nil
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
        return .secret(id: id, secret: secret, isBasic: true)
    }
}
