import AsyncHTTPClient
import CasemateModel
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL

/// An identity provider that people sign in at, from the side of a public client (RFC 6749 §2.1, RFC 8252).
struct IdentityProvider: Sendable {
    /// As the server names it.
    struct Way: Decodable, Sendable {
        var name: String
        var url: String
        var clientId: String
        var scope: String
        var authority: String?
    }

    /// OpenID Connect Discovery 1.0 §3; RFC 8628 §4.
    struct Metadata: Decodable, Sendable {
        var issuer: String
        var authorization_endpoint: String
        var token_endpoint: String
        var device_authorization_endpoint: String?
        var authorization_response_iss_parameter_supported: Bool?
    }

    struct Device: Decodable, Sendable {
        var device_code: String
        var user_code: String
        var verification_uri: String
        var verification_uri_complete: String?
        var expires_in: Int
        var interval: Int?
    }

    let way: Way
    let metadata: Metadata
    private let client: HTTPClient

    /// Asks the provider what it offers, and gives it to `body`.
    static func with<R>(_ way: Way, _ body: (IdentityProvider) async throws -> R) async throws -> R {
        var settings = HTTPClient.Configuration()
        settings.timeout.connect = .seconds(10)
        settings.timeout.read = .seconds(30)
        settings.connectionPool.retryConnectionEstablishment = false
        settings.redirectConfiguration = .disallow
        settings.decompression = .disabled
        if let authority = way.authority {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.additionalTrustRoots = [.certificates(try NIOSSLCertificate.fromPEMBytes(Array(authority.utf8)))]
            settings.tlsConfiguration = tls
        }
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
        do {
            let result = try await body(IdentityProvider(way, client))
            try await client.shutdown()
            return result
        } catch {
            try? await client.shutdown()
            throw error
        }
    }

    private init(_ way: Way, _ client: HTTPClient) async throws {
        guard Issuer.isURL(way.url) else { throw CommandFailure("the server names a provider that can't be one", code: 2) }
        self.way = way
        self.client = client
        let base = way.url.hasSuffix("/") ? String(way.url.dropLast()) : way.url
        let (status, bytes) = try await Self.send(client, way, .GET, base + "/.well-known/openid-configuration", form: nil)
        guard status == 200, let metadata = try? JSONDecoder().decode(Metadata.self, from: Data(bytes)), metadata.issuer == way.url else {
            throw CommandFailure("\(way.name) (\(way.url)) has no discovery document that can be used")
        }
        // Whoever sees the code or the token has the sign-in.
        let isPlain = way.url.hasPrefix("http://")
        let urls = [metadata.authorization_endpoint, metadata.token_endpoint, metadata.device_authorization_endpoint].compactMap { $0 }
        guard
            urls.allSatisfy({ url in
                Issuer.isURL(url.split(separator: "?").first.map(String.init) ?? "") && (isPlain || url.hasPrefix("https://"))
                    && url.utf8.allSatisfy { (33...126).contains($0) }
            })
        else {
            throw CommandFailure("\(way.name) offers an endpoint that is not behind https")
        }
        self.metadata = metadata
    }

    // MARK: With a browser

    /// Where the browser goes first (OpenID Connect Core 1.0 §3.1.2.1, RFC 7636 §4.3).
    func authorizationURL(redirect: String, secrets: SignInSecrets) throws -> String {
        let query = Self.encode([
            "response_type": "code", "client_id": way.clientId, "redirect_uri": redirect, "scope": way.scope, "state": secrets.state,
            "nonce": secrets.nonce, "code_challenge": secrets.challenge, "code_challenge_method": "S256",
        ])
        return metadata.authorization_endpoint + (metadata.authorization_endpoint.contains("?") ? "&" : "?") + query
    }

    /// An ID token for the code that the browser brought.
    /// - Throws: for one that was made for another sign-in than this.
    func idToken(code: String, redirect: String, secrets: SignInSecrets) async throws -> String {
        let token = try await tokens([
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "client_id": way.clientId,
            "code_verifier": secrets.verifier,
        ]).mapError { CommandFailure($0.words(of: way), code: 2) }.get()
        // It came from the provider itself, over TLS: only whether it answers this request is looked at here (§3.1.3.7).
        let payload = token.split(separator: ".", omittingEmptySubsequences: false).dropFirst().first.flatMap { Base64URL.decode($0.utf8) }
        let claims = payload.flatMap { try? JSONSerialization.jsonObject(with: Data($0)) as? [String: Any] }
        guard claims?["nonce"] as? String == secrets.nonce else {
            throw CommandFailure("the provider's answer belongs to another sign-in; try again", code: 2)
        }
        return token
    }

    // MARK: With a code that is typed elsewhere

    func device() async throws -> Device {
        guard let endpoint = metadata.device_authorization_endpoint else {
            throw CommandFailure("\(way.name) offers no sign-in with a code; leave --device out", code: 2)
        }
        let (status, bytes) = try await Self.send(
            client, way, .POST, endpoint, form: ["client_id": way.clientId, "scope": way.scope])
        guard status == 200, let device = try? JSONDecoder().decode(Device.self, from: Data(bytes)) else {
            throw Self.failure(bytes, way)
        }
        return device
    }

    /// Asks until the code was typed (RFC 8628 §3.4, §3.5).
    func idToken(of device: Device) async throws -> String {
        var wait = max(1, min(device.interval ?? 5, 60))
        let end = ContinuousClock.now + .seconds(min(device.expires_in, 1800))
        while ContinuousClock.now < end {
            try await Task.sleep(for: .seconds(wait))
            let answer = try await tokens([
                "grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": device.device_code, "client_id": way.clientId,
            ])
            switch answer {
            case .success(let token): return token
            case .failure(let error) where error.code == "authorization_pending": continue
            case .failure(let error) where error.code == "slow_down": wait += 5
            case .failure(let error): throw CommandFailure(error.words(of: way), code: 2)
            }
        }
        throw CommandFailure("the code was not typed in time; try again", code: 2)
    }

    // MARK: Requests

    private struct Refusal: Error {
        var code: String
        var detail: String?

        func words(of way: Way) -> String { "\(way.name) refused: \(Terminal.visible(detail ?? code))" }
    }

    private func tokens(_ form: [String: String]) async throws -> Result<String, Refusal> {
        struct Tokens: Decodable { var id_token: String? }
        let (status, bytes) = try await Self.send(client, way, .POST, metadata.token_endpoint, form: form)
        guard status == 200 else {
            guard let refusal = Self.refusal(bytes) else { throw Self.failure(bytes, way) }
            return .failure(refusal)
        }
        guard let token = (try? JSONDecoder().decode(Tokens.self, from: Data(bytes)))?.id_token else {
            throw CommandFailure("\(way.name) gave no ID token; its client must be allowed the scope openid")
        }
        return .success(token)
    }

    private static func refusal(_ bytes: [UInt8]) -> Refusal? {
        struct Details: Decodable {
            var error: String
            var error_description: String?
        }
        return (try? JSONDecoder().decode(Details.self, from: Data(bytes))).map { Refusal(code: $0.error, detail: $0.error_description) }
    }

    private static func failure(_ bytes: [UInt8], _ way: Way) -> CommandFailure {
        CommandFailure(refusal(bytes)?.words(of: way) ?? "\(way.name) gave an answer that can't be read", code: 2)
    }

    private static func send(_ client: HTTPClient, _ way: Way, _ method: HTTPMethod, _ url: String, form: [String: String]?) async throws
        -> (status: Int, body: [UInt8])
    {
        var request = HTTPClientRequest(url: url)
        request.method = method
        request.headers.add(name: "Accept", value: "application/json")
        if let form {
            request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
            request.body = .bytes(ByteBuffer(string: encode(form)))
        }
        do {
            let response = try await client.execute(request, timeout: .seconds(30))
            return (Int(response.status.code), Array(try await response.body.collect(upTo: 1 << 20).readableBytesView))
        } catch {
            throw CommandFailure("\(way.name) does not answer at \(way.url) (\(error))", code: 2)
        }
    }

    private static func encode(_ form: [String: String]) -> String { APIClient.encode(form) }
}
