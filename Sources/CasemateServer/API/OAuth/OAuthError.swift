import HTTPTypes

/// RFC 6749 §5.2: the errors of the token endpoint have a form of their own, which every client library knows.
struct OAuthError: Error {
    enum Code: String {
        case invalidRequest = "invalid_request"
        case invalidClient = "invalid_client"
        case unsupportedGrantType = "unsupported_grant_type"
        case invalidScope = "invalid_scope"
        /// RFC 8693 §2.2.2
        case invalidTarget = "invalid_target"
        /// RFC 6749 §4.1.2.1, for a token that is valid but not the one that is trusted.
        case accessDenied = "access_denied"

        var status: HTTPResponse.Status {
            switch self {
            case .invalidClient: .unauthorized
            case .accessDenied: .forbidden
            case .invalidRequest, .unsupportedGrantType, .invalidScope, .invalidTarget: .badRequest
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
