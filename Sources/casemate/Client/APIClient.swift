import AsyncHTTPClient
import CasemateModel
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Requests to the management API and the gateway.
struct APIClient: Sendable {
    let configuration: ClientConfiguration
    private let client: HTTPClient

    /// Gives `body` a client that is shut down afterwards.
    /// - Parameters:
    ///   - isAnonymous: it shows no credential, and needs none.
    ///   - server: another one than the configuration's.
    ///   - signIn: whose server and credential it takes, whatever else there is.
    static func with<R>(
        isAnonymous: Bool = false, server: String? = nil, as signIn: SignInFile? = nil, _ body: (APIClient) async throws -> R
    ) async throws -> R {
        let configuration = try ClientConfiguration.load(isAnonymous: isAnonymous, server: server, as: signIn)
        var settings = HTTPClient.Configuration()
        settings.timeout.connect = .seconds(10)
        // A closed port is said at once, not after ten seconds of trying.
        settings.connectionPool.retryConnectionEstablishment = false
        settings.decompression = .disabled
        settings.redirectConfiguration = .disallow
        if let ca = configuration.ca {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.additionalTrustRoots = [.file(ca)]
            settings.tlsConfiguration = tls
        }
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
        do {
            let result = try await body(APIClient(configuration: configuration, client: client))
            try await client.shutdown()
            return result
        } catch {
            try? await client.shutdown()
            throw error
        }
    }

    /// The same server, with the credential of somebody who has just signed in.
    func signedIn(with key: String) -> APIClient {
        var configuration = configuration
        configuration.key = key
        return APIClient(configuration: configuration, client: client)
    }

    struct Answer: Sendable {
        var status: Int
        var headers: HTTPHeaders
        var body: [UInt8]
    }

    /// Sends a request to the API. - Throws: `CommandFailure` for whatever is not a 2xx.
    func send(
        _ method: HTTPMethod, _ path: String, body: HTTPClientRequest.Body? = nil, type: String? = nil, timeout: TimeAmount = .seconds(60),
        limit: Int = 64 << 20
    ) async throws -> [UInt8] {
        let answer = try await raw(
            method, configuration.url + path, body: body, headers: type.map { ["Content-Type": $0] } ?? [:], timeout: timeout, limit: limit)
        guard (200..<300).contains(answer.status) else { throw CommandFailure(Self.problem(answer)) }
        return answer.body
    }

    func json<T: Decodable>(
        _ method: HTTPMethod, _ path: String, body: (any Encodable)? = nil, timeout: TimeAmount = .seconds(60), as type: T.Type = T.self
    ) async throws -> T {
        try JSONDecoder().decode(T.self, from: Data(try await jsonBytes(method, path, body: body, timeout: timeout)))
    }

    /// The answer as it came, for `--json`.
    func jsonBytes(_ method: HTTPMethod, _ path: String, body: (any Encodable)? = nil, timeout: TimeAmount = .seconds(60)) async throws
        -> [UInt8]
    {
        let encoded = try body.map { HTTPClientRequest.Body.bytes(ByteBuffer(bytes: try JSONEncoder().encode($0))) }
        return try await send(method, path, body: encoded, type: body == nil ? nil : "application/json", timeout: timeout)
    }

    /// A request with the credential of the configuration.
    func raw(
        _ method: HTTPMethod, _ url: String, body: HTTPClientRequest.Body? = nil, headers: HTTPHeaders = [:],
        timeout: TimeAmount = .seconds(60),
        limit: Int = 64 << 20
    ) async throws -> Answer {
        var headers = headers
        if !configuration.key.isEmpty { headers.replaceOrAdd(name: "Authorization", value: "Bearer \(configuration.key)") }
        return try await execute(method, url, body: body, headers: headers, timeout: timeout, limit: limit)
    }

    /// A request to another server: it is shown nothing but `headers`.
    func foreign(_ method: HTTPMethod, _ url: String, headers: HTTPHeaders) async throws -> Answer {
        try await execute(method, url, body: nil, headers: headers, timeout: .seconds(30), limit: 1 << 20)
    }

    /// A form for a token endpoint, which holds its credential itself (RFC 6749 §3.2).
    /// - Throws: `CommandFailure` with the endpoint's own words for whatever is not a 2xx.
    func form(_ url: String, _ fields: [String: String]) async throws -> [UInt8] {
        struct OAuthError: Decodable {
            var error: String
            var error_description: String?
        }
        let body = Self.encode(fields)
        let answer = try await execute(
            .POST, url, body: .bytes(ByteBuffer(string: body)), headers: ["Content-Type": "application/x-www-form-urlencoded"],
            timeout: .seconds(60), limit: 1 << 20)
        guard !(200..<300).contains(answer.status) else { return answer.body }
        guard let error = try? JSONDecoder().decode(OAuthError.self, from: Data(answer.body)) else {
            throw CommandFailure(Self.problem(answer))
        }
        throw CommandFailure(Terminal.visible(error.error_description ?? error.error), code: 2)
    }

    /// `application/x-www-form-urlencoded`, sorted by name.
    static func encode(_ fields: [String: String]) -> String {
        var allowed = CharacterSet()
        allowed.insert(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
        return fields.sorted { $0.key < $1.key }.map { name, value in
            "\(name)=\(value.addingPercentEncoding(withAllowedCharacters: allowed) ?? "")"
        }.joined(separator: "&")
    }

    private func execute(
        _ method: HTTPMethod, _ url: String, body: HTTPClientRequest.Body?, headers: HTTPHeaders, timeout: TimeAmount, limit: Int
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: url)
        request.method = method
        request.headers = headers
        request.body = body
        do {
            let response = try await client.execute(request, timeout: timeout)
            return Answer(
                status: Int(response.status.code), headers: response.headers,
                body: Array(try await response.body.collect(upTo: limit).readableBytesView))
        } catch let error as HTTPClientError where error == .connectTimeout || error == .deadlineExceeded || error == .readTimeout {
            throw CommandFailure.uncertain("\(configuration.url) did not answer in time")
        } catch is NIOTooManyBytesError {
            throw CommandFailure("the answer is larger than \(limit >> 20) MiB")
        } catch let error as NIOConnectionError {
            throw CommandFailure("no server answers at \(error.host):\(error.port); start one with: casemate up", code: 2)
        } catch is IOError {
            throw CommandFailure("no server answers at \(configuration.url); start one with: casemate up", code: 2)
        } catch let failure as CommandFailure {
            throw failure
        } catch let error as NIOSSLError {
            throw CommandFailure(
                "TLS with \(configuration.url) failed: \(error); for a server with --tls auto set CASEMATE_CA to its ca.pem", code: 2)
        } catch {
            throw CommandFailure.uncertain("no server answers at \(configuration.url) (\(error)); start one with: casemate up")
        }
    }

    /// The problem details of an answer, or a general one.
    static func problem(_ answer: Answer) -> Problem {
        struct Details: Decodable {
            var type: String?
            var detail: String?
            var title: String?
            var reason: String?
            var diagnostics: [Diagnostic]?
        }
        let details = try? JSONDecoder().decode(Details.self, from: Data(answer.body))
        let code =
            Problem.Code.all.first { $0.type == details?.type } ?? Problem.Code.all.first { $0.status == answer.status } ?? .internalError
        return Problem(
            code, Terminal.visible(details?.detail ?? "the server answered with status \(answer.status)"), reason: details?.reason,
            diagnostics: details?.diagnostics ?? [])
    }
}
