import AsyncHTTPClient
import CasemateModel
import CasemateSandbox
import CasemateVault
import Foundation
import NIOCore
import NIOHTTP1

/// Sends one event to one address: a CloudEvent (1.0, structured mode) in JSON, signed as Standard Webhooks has it.
struct Webhook: Sendable {
    enum Fault: Error, CustomStringConvertible {
        case address
        case status(Int)
        case connection

        var description: String {
            switch self {
            case .address: "the address leads nowhere, or where it may not lead"
            case .status(let status): "it answered \(status)"
            case .connection: "no connection, or no answer in time"
            }
        }
    }

    private static let limit = TimeAmount.seconds(10)

    let signer: WebhookSigner
    let network: EgressNetwork
    /// The server's public URL: where the events come from.
    let source: String

    /// `https`, or plain `http` for loopback alone.
    static func isURL(_ text: String) -> Bool {
        guard (9...1024).contains(text.utf8.count), text.utf8.allSatisfy({ (33...126).contains($0) && $0 != UInt8(ascii: "\\") }),
            let url = URL(string: text), let host = url.host, !host.isEmpty, url.user == nil, url.password == nil, url.fragment == nil,
            url.port.map({ (1...65_535).contains($0) }) ?? true
        else { return false }
        return url.scheme == "https" || url.scheme == "http" && ["127.0.0.1", "localhost", "[::1]", "::1"].contains(host)
    }

    /// Whether it names by itself what only the server's administrator may have called. What a name leads to is looked at for each event.
    func isPrivate(_ url: String) async -> Bool {
        guard let host = URL(string: url)?.host?.lowercased() else { return true }
        let bare = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        if bare == "localhost" || bare.hasSuffix(".localhost") { return true }
        return IPAddress(bare) != nil ? await network.publicAddress(of: bare) == nil : false
    }

    func send(_ record: AuditRecord, to alert: Alert) async throws(Fault) {
        guard Self.isURL(alert.url) else { throw .address }
        let id = "\(alert.id)-\(record.sequence)"
        let body = Self.event(record, source: source)
        let time = Timestamp.now.milliseconds / 1000
        var request = HTTPClientRequest(url: alert.url)
        request.method = .POST
        request.headers = [
            "Content-Type": "application/cloudevents+json", "User-Agent": "casemate/\(CasemateVersion.text)", "webhook-id": id,
            "webhook-timestamp": "\(time)",
            "webhook-signature": signer.signature(of: alert.id, id: id, time: time, body: body),
        ]
        request.body = .bytes(ByteBuffer(bytes: body))
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.timeout.connect = .seconds(5)
        configuration.timeout.read = Self.limit
        configuration.connectionPool.retryConnectionEstablishment = false
        if !alert.mayReachPrivate {
            guard let host = URL(string: alert.url)?.host, let address = await network.publicAddress(of: host) else { throw .address }
            // The address that was looked at, not what the name leads to a moment later.
            configuration.dnsOverride = [host: address]
        }
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        let status: Int
        do {
            let response = try await client.execute(request, timeout: Self.limit)
            status = Int(response.status.code)
        } catch {
            try? await client.shutdown()
            throw .connection
        }
        try? await client.shutdown()
        guard (200..<300).contains(status) else { throw .status(status) }
    }

    private struct Event: Encodable {
        var specversion = "1.0"
        var id: String
        var source: String
        var type: String
        var subject: String?
        var time: String
        var datacontenttype = "application/json"
        var data: AuditRecord
    }

    /// CloudEvents 1.0, §3.1: id and source together are never another event's.
    static func event(_ record: AuditRecord, source: String) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let event = Event(
            id: "\(record.sequence)", source: source, type: "casemate.\(record.kind)", subject: record.function ?? record.namespace,
            time: record.time, data: record)
        return Array((try? encoder.encode(event)) ?? Data())
    }
}
