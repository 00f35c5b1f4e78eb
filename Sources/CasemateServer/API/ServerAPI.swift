import CasemateIdentity
import CasemateInvoke
import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import Foundation
import HTTPTypes

extension APIServices {
    var serverRoutes: [APIRoute] {
        [
            APIRoute(.get, "/healthz", needs: .anyone) { _ in .text("ok\n", contentType: "text/plain; charset=utf-8") },
            APIRoute(.get, "/readyz", needs: .anyone) { _ in
                guard warden.isConnected else { throw Problem(.unavailable, "the warden does not answer", retryAfterSeconds: 1) }
                return .text("ready\n", contentType: "text/plain; charset=utf-8")
            },
            APIRoute(.get, "/.well-known/security.txt", needs: .anyone) { _ in
                .text(securityText, contentType: "text/plain; charset=utf-8")
            },
            APIRoute(.get, "/metrics", needs: .right(.metricsRead)) { _ in
                guard let (metrics, gauges, queued) = await gateway.snapshot() else { throw Problem(.unavailable, "the gateway is not up") }
                let text = MetricsText(
                    metrics: metrics, gauges: gauges, counters: counters, functions: catalog.catalog.count,
                    egress: egress.network.totals.values, isWardenConnected: warden.isConnected,
                    audit: (audit.written, audit.isWritable), isVaultOpen: !vault.isSealed && vault.fault == nil,
                    gate: try await records.read { try GateGauges($0) }, quarantined: artifacts.quarantined, queue: queued,
                    open: queue.open.values.reduce(into: (0, 0)) { $0 = ($0.0 + $1.queued, $0.1 + $1.running) },
                    deadLetters: try await queue.deadLetterCount())
                return .text(text.rendered, contentType: "text/plain; version=0.0.4; charset=utf-8")
            },
            APIRoute(.get, "/v1/server", needs: .credential) { _ in
                .json(ServerView(version: CasemateVersion.text, apiUrl: urls.api, gatewayUrl: urls.gateway))
            },
            APIRoute(.get, "/v1/status", needs: .right(.platformAdmin)) { _ in
                .json(
                    StatusView(
                        version: CasemateVersion.text, warden: warden.isConnected ? "connected" : "disconnected",
                        functions: try await records.read { try $0.functions().count }, warmSandboxes: await gateway.warmSandboxes(),
                        calls: counters.calls.value, coldStarts: counters.coldStarts.value, refused: counters.refused.value,
                        failed: counters.failed.value, redactions: counters.redactions.value))
            },
        ]
    }
}

struct ServerView: Encodable, Sendable {
    var version: String
    var apiUrl: String
    var gatewayUrl: String
}

struct StatusView: Encodable, Sendable {
    var version: String
    var warden: String
    var functions: Int
    var warmSandboxes: Int
    var calls: Int
    var coldStarts: Int
    var refused: Int
    var failed: Int
    var redactions: Int
}
