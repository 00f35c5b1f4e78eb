import AsyncHTTPClient
import CasemateIdentity
import CasemateModel
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL

/// Gets the key set of an issuer: its discovery document (OpenID Connect Discovery 1.0 §4), and what that names.
struct IssuerFetcher: Sendable {
    enum Fault: Error, CustomStringConvertible {
        case status(Int)
        case notJSON
        case otherIssuer(String)
        case keysElsewhere
        case tooSlow

        var description: String {
            switch self {
            case .status(let status): "it answered \(status)"
            case .notJSON: "its discovery document can't be read"
            case .otherIssuer(let found): "its discovery document is that of \(String(decoding: found.utf8.prefix(200), as: UTF8.self))"
            case .keysElsewhere: "its keys are not behind https"
            case .tooSlow: "it took too long"
            }
        }
    }

    private static let limit = TimeAmount.seconds(5)
    private static let longest = 262_144

    func callAsFunction(_ issuer: Issuer) async throws -> [UInt8] {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.timeout.connect = Self.limit
        configuration.timeout.read = Self.limit
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.decompression = .disabled
        if let authority = issuer.authority {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.additionalTrustRoots = [.certificates(try NIOSSLCertificate.fromPEMBytes(Array(authority.utf8)))]
            configuration.tlsConfiguration = tls
        }
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        do {
            // The client's own limit ends with the head.
            let keys = try await withThrowingTaskGroup(of: [UInt8].self) { group in
                group.addTask { try await fetchKeys(of: issuer, client) }
                group.addTask {
                    try await Task.sleep(for: .seconds(8))
                    throw Fault.tooSlow
                }
                defer { group.cancelAll() }
                return try await group.next() ?? []
            }
            try await client.shutdown()
            return keys
        } catch {
            try? await client.shutdown()
            throw error
        }
    }

    private func fetchKeys(of issuer: Issuer, _ client: HTTPClient) async throws -> [UInt8] {
        let base = issuer.url.hasSuffix("/") ? String(issuer.url.dropLast()) : issuer.url
        let document = try await get(base + "/.well-known/openid-configuration", client)
        struct Discovery: Decodable {
            var issuer: String
            var jwks_uri: String
        }
        guard let depth = StrictJSON.depth(document), depth <= 16,
            let discovery = try? JSONDecoder().decode(Discovery.self, from: Data(document))
        else {
            throw Fault.notJSON
        }
        // §4.3: exactly the same, or one provider could speak for another.
        guard discovery.issuer == issuer.url else { throw Fault.otherIssuer(discovery.issuer) }
        guard Issuer.isURL(discovery.jwks_uri), discovery.jwks_uri.hasPrefix("https://") || issuer.url.hasPrefix("http://") else {
            throw Fault.keysElsewhere
        }
        return try await get(discovery.jwks_uri, client)
    }

    private func get(_ url: String, _ client: HTTPClient) async throws -> [UInt8] {
        var request = HTTPClientRequest(url: url)
        request.headers.add(name: "Accept", value: "application/json")
        let response = try await client.execute(request, timeout: Self.limit)
        guard response.status == .ok else { throw Fault.status(Int(response.status.code)) }
        return Array(try await response.body.collect(upTo: Self.longest).readableBytesView)
    }
}
