import CasemateIdentity
import CasemateModel
import CasemateStore
import CasemateVault
import HTTPTypes

/// Who is told of which events.
extension APIServices {
    /// Of the server, and of each namespace.
    private static var most: Int { 20 }

    var alertRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/alerts", needs: .right(.eventSubscribe)) { request in
                try request.allowQuery([])
                return .json(try await alertList(in: nil))
            },
            APIRoute(.post, "/v1/alerts", needs: .right(.eventSubscribe)) { request in
                let body = try Self.newAlert(try await request.body(limit: 16_384))
                return .json(try await create(body, in: nil, for: request), status: .created)
            },
            APIRoute(.delete, "/v1/alerts/{alert}", needs: .right(.eventSubscribe)) { try await delete($0, in: nil) },
            APIRoute(.post, "/v1/alerts/{alert}/test", needs: .right(.eventSubscribe)) { try await test($0, in: nil) },
            APIRoute(.get, "/v1/namespaces/{namespace}/alerts", needs: .right(.eventSubscribe)) { request in
                try request.allowQuery([])
                return .json(try await alertList(in: try await namespace(try request.namespace())))
            },
            APIRoute(.post, "/v1/namespaces/{namespace}/alerts", needs: .right(.eventSubscribe)) { request in
                let body = try Self.newAlert(try await request.body(limit: 16_384))
                let namespace = try await namespace(try request.namespace())
                return .json(try await create(body, in: namespace, for: request), status: .created)
            },
            APIRoute(.delete, "/v1/namespaces/{namespace}/alerts/{alert}", needs: .right(.eventSubscribe)) { request in
                try await delete(request, in: try await namespace(try request.namespace()))
            },
            APIRoute(.post, "/v1/namespaces/{namespace}/alerts/{alert}/test", needs: .right(.eventSubscribe)) { request in
                try await test(request, in: try await namespace(try request.namespace()))
            },
        ]
    }

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func newAlert(_ bytes: [UInt8]) throws -> NewAlert {
        let body: NewAlert = try StrictJSON.decode(bytes)
        guard Webhook.isURL(body.url) else {
            throw Problem(
                .invalidRequest,
                "url must be https://… without a password, and with a port of 1 to 65535 if any; plain http is for this machine's loopback alone"
            )
        }
        return body
    }

    private func create(_ body: NewAlert, in namespace: Namespace?, for request: APIRequest) async throws -> AlertView {
        var kinds: [AuditKind] = []
        for text in body.events {
            let found =
                text.hasSuffix(".*") ? AuditKind.all.filter { $0.text.hasPrefix(text.dropLast(1)) } : AuditKind(text).map { [$0] } ?? []
            guard !found.isEmpty else {
                throw Problem(.invalidRequest, "there is no kind of event \"\(text.prefix(60))\"; docs/audit.md lists them")
            }
            kinds += found.filter { !kinds.contains($0) }
        }
        guard !kinds.isEmpty else { throw Problem(.invalidRequest, "events: say which, like [\"egress.denied\", \"secret.*\"]") }
        let mayReachPrivate = request.principal.rights.has(.platformAdmin, on: .platform)
        if !mayReachPrivate, await alerts.isPrivate(body.url) {
            throw Problem(.forbidden, "an alert of yours goes to a public address; platform:admin may name others")
        }
        let alert = Alert(
            id: AlertId(), namespaceId: namespace?.id, kinds: kinds, url: body.url, mayReachPrivate: mayReachPrivate,
            cursor: audit.head.sequence, created: .now,
            createdBy: request.principal.subject)
        try await records.write { [kinds] transaction in
            let resource = namespace.map { Resource.namespace($0.id) } ?? .platform
            try request.require(.eventSubscribe, on: resource, for: "this")
            guard try transaction.alerts().count(where: { $0.namespaceId == namespace?.id }) < Self.most else {
                throw Problem(.conflict, "there are \(Self.most) alerts already; remove what is not needed")
            }
            try transaction.insert(alert)
            transaction.record(
                .alertCreated, namespace?.auditScope ?? .platform,
                AuditEvent.listed("events", kinds.map(\.text)).merging(
                    ["alert": alert.id.text, "host": AlertView.host(of: alert.url)]) { $1 })
        }
        await alerts.begin(alert)
        var view = AlertView(alert, state: AlertDispatcher.AlertState())
        view.secret = webhooks.secret(of: alert.id)
        return view
    }

    private func alertList(in namespace: Namespace?) async throws -> AlertList {
        var list = AlertList(alerts: [])
        for alert in try await records.read({ try $0.alerts() }) where namespace == nil || alert.namespaceId == namespace?.id {
            list.alerts.append(AlertView(alert, state: await alerts.state(of: alert.id)))
        }
        return list
    }

    private func alert(_ request: APIRequest, in namespace: Namespace?) async throws -> Alert {
        guard let id = AlertId(request.parameter("alert")) else { throw Problem(.invalidRequest, "an alert's id is a UUID") }
        let found = try await records.read { try $0.alerts() }.first {
            $0.id == id && (namespace == nil || $0.namespaceId == namespace?.id)
        }
        guard let found else { throw Problem(.notFound, "there is no such alert here") }
        return found
    }

    private func delete(_ request: APIRequest, in namespace: Namespace?) async throws -> APIResponse {
        let alert = try await alert(request, in: namespace)
        try await records.write { transaction in
            guard try transaction.deleteAlert(alert.id) else { throw Problem(.notFound, "there is no such alert here") }
            transaction.record(.alertDeleted, namespace?.auditScope ?? .platform, ["alert": alert.id.text])
        }
        await alerts.end(alert.id)
        return .noContent
    }

    private func test(_ request: APIRequest, in namespace: Namespace?) async throws -> APIResponse {
        let alert = try await alert(request, in: namespace)
        do throws(Webhook.Fault) { try await alerts.test(alert) } catch {
            throw Problem(.conflict, "the address did not take a test event: \(error)")
        }
        AuditContext.current?.changedNothing()
        return .noContent
    }
}

struct NewAlert: StrictDecodable {
    static let fields: Set<String> = ["events", "url"]
    var events: [String]
    var url: String
}

struct AlertList: Encodable, Sendable { var alerts: [AlertView] }

struct AlertView: Encodable, Sendable {
    var id: String
    var events: [String]
    /// The host alone: a path may hold a token of the receiver's.
    var host: String
    var created: String
    var createdBy: String
    /// Since the server started.
    var sent: Int
    /// Why the last event was not taken.
    var problem: String?
    /// What signatures are checked with; shown once.
    var secret: String?

    init(_ alert: Alert, state: AlertDispatcher.AlertState) {
        id = alert.id.text
        events = alert.kinds.map(\.text)
        host = Self.host(of: alert.url)
        created = alert.created.rfc3339
        createdBy = alert.createdBy
        sent = state.sent
        problem = state.problem
    }

    static func host(of url: String) -> String { String(url.split(separator: "/", maxSplits: 2).dropFirst().first ?? "") }
}
