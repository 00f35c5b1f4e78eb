import CasemateModel
import CasemateVault
import Foundation

/// The server as an issuer of tokens: those that open one function here, and those by which a function says elsewhere who it is.
///
/// The two kinds differ in `typ` and in their audience, so that neither is ever taken for the other (RFC 8725 §3.11, §3.12).
public struct OwnIssuer: Sendable {
    /// The API's URL; without a slash at its end.
    public let url: String
    private let signer: TokenSigner
    /// How tokens of ours are read. They are for functions: the API takes none.
    let issuer: Issuer

    /// In seconds.
    public static let accessTokenLifetime: Int64 = 600
    public static let workloadTokenLifetime: Int64 = 900
    static let accessTokenType = "at+jwt"

    public init(url: String, signer: TokenSigner) {
        self.url = url
        self.signer = signer
        issuer = Issuer(
            id: IssuerId(), name: IssuerLabel(unchecked: "casemate"), url: url, audiences: [], usernameClaim: "issuer_username",
            groupsClaim: "groups",
            algorithms: ["ES256"], created: .now, createdBy: "")
    }

    // MARK: What it signs

    /// A token with which `holder` calls one function (RFC 9068), for ten minutes. What they may do is asked again at its use.
    /// - Parameter audience: the function's URL.
    /// - Parameter latest: when what it was exchanged for ends.
    /// - Returns: the token, and for how many seconds it is valid.
    public func accessToken(
        for holder: Principal, function: FunctionName, audience: String, until latest: Timestamp? = nil, at now: Timestamp = .now
    ) throws -> (text: String, seconds: Int64) {
        let seconds = now.milliseconds / 1000
        let lifetime = min(Self.accessTokenLifetime, latest.map { $0.milliseconds / 1000 - seconds } ?? Self.accessTokenLifetime)
        var claims = AccessClaims(
            iss: url, sub: holder.identity, aud: audience, iat: seconds, nbf: seconds, exp: seconds + lifetime,
            jti: TokenId().text, clientId: holder.identity, scope: "fn:\(function)", username: holder.subject,
            issuerUsername: holder.subject, credential: holder.credential, groups: nil)
        if case .person(let person) = holder {
            claims.issuerUsername = person.username
            claims.groups = person.groups.sorted()
        }
        return (try sign(header: ["alg": "ES256", "kid": signer.keyId, "typ": Self.accessTokenType], claims), lifetime)
    }

    /// A token by which a function proves at `audience` who it is, for a quarter of an hour.
    /// - Parameter seal: stands in the header, which is signed with the rest. Whoever takes it out of what the function prints has made the
    ///   token worthless there, whatever else of it stays.
    public func workloadToken(
        for function: FunctionName, _ id: FunctionId, audience: String, seal: CredentialSeal, at now: Timestamp = .now
    ) throws -> (text: String, expires: Timestamp) {
        let seconds = now.milliseconds / 1000
        let expires = seconds + Self.workloadTokenLifetime
        let claims = WorkloadClaims(
            iss: url, sub: "fn:\(function)", aud: audience, iat: seconds, nbf: seconds, exp: expires, jti: TokenId().text,
            namespace: function.namespace.text, function: function.function.text, functionId: id.text)
        let text = try sign(header: ["alg": "ES256", "kid": signer.keyId, "seal": seal.text, "typ": "JWT"], claims)
        return (text, Timestamp(milliseconds: expires * 1000))
    }

    private func sign(header: [String: String], _ claims: some Encodable) throws -> String {
        let signed = Base64URL.encode(try Self.json(header)) + "." + Base64URL.encode(try Self.json(claims))
        return signed + "." + Base64URL.encode(try signer.sign(Array(signed.utf8)))
    }

    private static func json(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }

    // MARK: What it takes back

    /// Whether an access token of ours says what we signed.
    func isValid(_ token: CompactToken) -> Bool {
        token.algorithm == "ES256" && token.type == Self.accessTokenType && token.keyId == signer.keyId
            && signer.isValid(token.signature, for: token.signedPart)
    }

    // MARK: What others need

    /// `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0 §3, RFC 8414 §2).
    public struct Metadata: Encodable, Sendable {
        var issuer: String
        var jwks_uri: String
        var token_endpoint: String
        var response_types_supported = ["id_token"]
        var subject_types_supported = ["public"]
        var id_token_signing_alg_values_supported = ["ES256"]
        var grant_types_supported = ["client_credentials", OwnIssuer.tokenExchange]
        var token_endpoint_auth_methods_supported = ["client_secret_basic", "client_secret_post", "none"]
        var claims_supported = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "namespace", "function", "function_id"]
    }

    /// RFC 8693 §2.1.
    public static let tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

    public var metadata: Metadata {
        Metadata(issuer: url, jwks_uri: url + "/.well-known/jwks.json", token_endpoint: url + "/oauth/token")
    }

    /// A set of the one public key (RFC 7517 §5).
    public struct KeySet: Encodable, Sendable {
        public struct Key: Encodable, Sendable {
            var kty = "EC"
            var crv = "P-256"
            var alg = "ES256"
            var use = "sig"
            var kid: String
            var x: String
            var y: String
        }

        var keys: [Key]
    }

    public var keySet: KeySet {
        KeySet(keys: [KeySet.Key(kid: signer.keyId, x: signer.coordinates.x, y: signer.coordinates.y)])
    }
}

private struct AccessClaims: Encodable {
    var iss: String
    var sub: String
    var aud: String
    var iat: Int64
    var nbf: Int64
    var exp: Int64
    var jti: String
    var clientId: String
    var scope: String
    /// As grants write it.
    var username: String
    /// A person's, as their issuer has it.
    var issuerUsername: String
    /// The credential that was exchanged, with which this one ends.
    var credential: String?
    var groups: [String]?

    enum CodingKeys: String, CodingKey {
        case iss, sub, aud, iat, nbf, exp, jti, scope, username, credential, groups
        case issuerUsername = "issuer_username"
        case clientId = "client_id"
    }
}

private struct WorkloadClaims: Encodable {
    var iss: String
    var sub: String
    var aud: String
    var iat: Int64
    var nbf: Int64
    var exp: Int64
    var jti: String
    var namespace: String
    var function: String
    var functionId: String

    enum CodingKeys: String, CodingKey {
        case iss, sub, aud, iat, nbf, exp, jti, namespace, function
        case functionId = "function_id"
    }
}
