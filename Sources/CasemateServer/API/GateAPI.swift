import CasemateDeploy
import CasemateIdentity
import CasemateLinux
import CasemateModel
import CasemateStore
import Foundation
import HTTPTypes
import NIOCore

/// What the gate found, and who lets what pass.
extension APIServices {
    private static var mostWaivers: Int { 200 }

    var gateRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/namespaces/{namespace}/functions/{function}/findings", needs: .right(.functionRead)) { request in
                try request.allowQuery([])
                return .json(try await findings(of: try request.functionName()))
            },
            APIRoute(.get, "/v1/namespaces/{namespace}/functions/{function}/sbom", needs: .right(.functionRead)) { try await sbom($0) },
            APIRoute(.get, "/v1/namespaces/{namespace}/functions/{function}/waivers", needs: .right(.functionRead)) { request in
                try request.allowQuery([])
                let name = try request.functionName()
                let namespace = try await namespace(name.namespace)
                let waivers = try await records.read { try $0.waivers(in: namespace.id, of: name.function) }
                return .json(WaiverList(waivers: waivers.map { WaiverView($0, of: name) }))
            },
            APIRoute(.post, "/v1/namespaces/{namespace}/functions/{function}/waivers", needs: .right(.gateWaive)) { request in
                let body = try Self.newWaiver(try await request.body(limit: 16_384))
                return .json(try await waive(body, request), status: .created)
            },
            APIRoute(.delete, "/v1/namespaces/{namespace}/functions/{function}/waivers/{waiver}", needs: .right(.gateWaive)) { request in
                try await removeWaiver(request)
            },
            APIRoute(.post, "/v1/namespaces/{namespace}/functions/{function}/disable", needs: .right(.functionDeploy)) { request in
                try await setDisabled("it was disabled by hand", request)
            },
            APIRoute(.post, "/v1/namespaces/{namespace}/functions/{function}/enable", needs: .right(.functionDeploy)) { request in
                try await setDisabled(nil, request)
            },
        ]
    }

    // MARK: Findings

    private func findings(of name: FunctionName) async throws -> FindingsView {
        let namespace = try await namespace(name.namespace)
        return try await records.read { transaction in
            let function = try transaction.function(name)
            let report = try transaction.gateReport(of: name.function, in: namespace.id)
            guard function != nil || report != nil else { throw Problem.unknown(name) }
            let active = try function?.activeRevision.flatMap { try transaction.revision($0) }
            let waivers = try transaction.waivers(in: namespace.id, of: name.function)
            return FindingsView(
                function: name.description, revision: active?.number, disabled: function?.disabled,
                active: try active.map { try Self.live($0, transaction, waivers) }, refused: report?.findings,
                refusedAt: report?.created.rfc3339)
        }
    }

    /// What is known of a revision now: what it was deployed with, and advisories as they are today.
    static func live(_ revision: Revision, _ transaction: Transaction, _ waivers: [Waiver]) throws -> [Diagnostic] {
        guard let advisories = try transaction.liveAdvisories(of: revision.id) else {
            return Waive.findings(revision.findings, by: waivers, at: .now)
        }
        let others = revision.findings.filter { $0.finding?.check != "advisories" }
        return Waive.findings(advisories + others, by: waivers, at: .now)
    }

    private func sbom(_ request: APIRequest) async throws -> APIResponse {
        try request.allowQuery(["revision"])
        let name = try request.functionName()
        let function = try await function(name)
        let revisions = try await records.read { try $0.revisions(of: function.id) }
        let number = request.query["revision"] == nil ? nil : try request.number("revision", default: 0, in: 1...Int.max)
        guard let revision = revisions.first(where: { number == nil ? $0.id == function.activeRevision : $0.number == number }) else {
            throw Problem(.notFound, number.map { "\(name) has no revision \($0)" } ?? "\(name) has not been deployed yet")
        }
        guard let sbom = try await records.read({ try $0.contents(of: revision.id) }).sbom else {
            throw Problem(.notFound, "revision \(revision.number) was made before there were such lists; deploy it again")
        }
        return .bytes(sbom, contentType: "application/vnd.cyclonedx+json; version=1.6")
    }

    // MARK: Waivers

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func newWaiver(_ bytes: [UInt8]) throws -> NewWaiver {
        let body: NewWaiver = try StrictJSON.decode(bytes)
        let reason = body.reason.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !reason.isEmpty, reason.utf8.count <= Waiver.longestReason else {
            throw Problem(.invalidRequest, "reason: why the finding may stay, in 1 to \(Waiver.longestReason) bytes")
        }
        return body
    }

    private func waive(_ body: NewWaiver, _ request: APIRequest) async throws -> WaiverView {
        guard let finding = FindingId(body.finding) else {
            throw Problem(.invalidRequest, "finding: 32 hexadecimal digits, as the deployment shows them")
        }
        let now = Timestamp.now
        guard let expires = Timestamp(rfc3339: body.expires) else {
            throw Problem(.invalidRequest, "expires: a time like 2030-01-31T12:00:00Z")
        }
        guard now < expires, expires.milliseconds - now.milliseconds <= Waiver.longestInMilliseconds else {
            throw Problem(.invalidRequest, "expires: within the next 90 days; nothing is let pass for good")
        }
        let name = try request.functionName()
        let namespace = try await namespace(name.namespace)
        let waiver = Waiver(
            id: WaiverId(), namespaceId: namespace.id, function: name.function, finding: finding, reason: body.reason, expires: expires,
            created: now, createdBy: request.principal.subject)
        try await records.write { transaction in
            let function = try transaction.function(name)
            try request.require(.gateWaive, on: function?.resource ?? .namespace(namespace.id), for: "to waive a finding")
            let report = try transaction.gateReport(of: name.function, in: namespace.id)?.findings ?? []
            let active = try function?.activeRevision.flatMap { try transaction.revision($0) }
            let live = try active.map { try Self.live($0, transaction, []) } ?? []
            guard let found = (report + live).first(where: { $0.finding?.id == finding }) else {
                throw Problem(.notFound, "\(name) has no finding \(finding) that a deployment or a scan has shown")
            }
            guard try transaction.waivers(in: namespace.id, of: name.function).count < Self.mostWaivers else {
                throw Problem(.conflict, "\(name) has \(Self.mostWaivers) waivers already; remove those that have ended")
            }
            try transaction.insert(waiver)
            transaction.record(
                .findingWaived, function?.auditScope ?? namespace.auditScope,
                [
                    "function": name.description, "finding": finding.text, "rule": found.finding?.rule ?? "", "what": found.what,
                    "reason": waiver.reason, "expires": waiver.expires.rfc3339, "waiver": waiver.id.text,
                ])
        }
        return WaiverView(waiver, of: name)
    }

    private func removeWaiver(_ request: APIRequest) async throws -> APIResponse {
        let name = try request.functionName()
        guard let id = WaiverId(request.parameter("waiver")) else { throw Problem(.invalidRequest, "a waiver's id is a UUID") }
        let namespace = try await namespace(name.namespace)
        try await records.write { transaction in
            let function = try transaction.function(name)
            try request.require(.gateWaive, on: function?.resource ?? .namespace(namespace.id), for: "to remove a waiver")
            guard let waiver = try transaction.waivers(in: namespace.id, of: name.function).first(where: { $0.id == id }),
                try transaction.deleteWaiver(id)
            else { throw Problem(.notFound, "\(name) has no such waiver") }
            transaction.record(
                .waiverRemoved, function?.auditScope ?? namespace.auditScope,
                ["function": name.description, "finding": waiver.finding.text, "waiver": id.text])
        }
        return .noContent
    }

    // MARK: On and off

    private func setDisabled(_ reason: String?, _ request: APIRequest) async throws -> APIResponse {
        let name = try request.functionName()
        let function = try await function(name)
        try await records.write { transaction in
            try request.require(.functionDeploy, on: function.resource, for: "this")
            guard let current = try transaction.function(function.id) else { throw Problem.unknown(name) }
            // What the policy stopped, those may let run again who may let a finding pass.
            if reason == nil, let why = current.disabled, why != "it was disabled by hand" {
                try request.require(.gateWaive, on: function.resource, for: "to enable what the policy disabled")
            }
            try transaction.setDisabled(reason, of: function.id)
            transaction.record(reason == nil ? .functionEnabled : .functionDisabled, function.auditScope, ["by": "hand"])
        }
        try await catalog.reload(function.id)
        return .noContent
    }
}

struct NewWaiver: StrictDecodable {
    static let fields: Set<String> = ["finding", "reason", "expires"]
    var finding: String
    var reason: String
    /// RFC 3339.
    var expires: String
}

struct WaiverList: Encodable, Sendable { var waivers: [WaiverView] }

struct WaiverView: Encodable, Sendable {
    var id: String
    var function: String
    var finding: String
    var reason: String
    var expires: String
    var isInForce: Bool
    var created: String
    var createdBy: String

    init(_ waiver: Waiver, of name: FunctionName) {
        id = waiver.id.text
        function = name.description
        finding = waiver.finding.text
        reason = waiver.reason
        expires = waiver.expires.rfc3339
        isInForce = waiver.isInForce(at: .now)
        created = waiver.created.rfc3339
        createdBy = waiver.createdBy
    }
}

struct FindingsView: Encodable, Sendable {
    var function: String
    /// The active one.
    var revision: Int?
    /// Why none of its calls runs.
    var disabled: String?
    /// Of the active revision, as they are today.
    var active: [Diagnostic]?
    /// Of the last deployment that was refused.
    var refused: [Diagnostic]?
    var refusedAt: String?
}
