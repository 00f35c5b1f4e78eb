import CasemateDeploy
import CasemateIdentity
import CasemateInvoke
import CasemateModel
import CasemateSandbox
import CasemateStore
import Foundation
import HTTPTypes

extension APIServices {
    var egressRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/namespaces/{namespace}/functions/{function}/egress", needs: .right(.functionRead)) { request in
                try request.allowQuery([])
                return .json(try await egressView(of: try request.functionName()))
            },
            APIRoute(.put, "/v1/namespaces/{namespace}/functions/{function}/egress/{target}", needs: .right(.policyWrite)) { request in
                let host = try target(request)
                let name = try request.functionName()
                let namespace = try await namespace(name.namespace)
                let function = try await records.read { try $0.function(name) }
                try Self.mayList([host], request.principal.rights, on: function?.resource ?? .namespace(namespace.id))
                let principal = request.principal
                let grant = EgressGrant(
                    host: host, created: .now, author: DeployAuthor(subject: principal.subject, identity: principal.identity))
                try await records.write { transaction in
                    let rights = request.principal.rights
                    let isEverywhere = rights.has(.policyWrite, on: .namespace(namespace.id))
                    let now = try transaction.function(name)
                    guard rights.has(.policyWrite, on: now?.resource ?? .namespace(namespace.id)) else { throw Problem.unknown(name) }
                    try transaction.insert(grant, of: name.function, in: namespace.id, onlyFor: isEverywhere ? nil : now?.id)
                    transaction.record(
                        .egressAllowed, now?.auditScope ?? namespace.auditScope, ["function": "\(name)", "target": host.description])
                    guard try transaction.egressGrants(of: name.function, in: namespace.id).count <= Self.mostGrants else {
                        throw Problem(.conflict, "\(name) has \(Self.mostGrants) grants already; revoke what is not needed")
                    }
                }
                let made = try await applyGrants(to: name, by: principal)
                return .json(EgressGrantView(target: host.description, warning: EgressEntry.warning(host), made))
            },
            APIRoute(.delete, "/v1/namespaces/{namespace}/functions/{function}/egress/{target}", needs: .right(.policyWrite)) { request in
                let host = try target(request)
                let name = try request.functionName()
                let namespace = try await namespace(name.namespace)
                try await records.write { transaction in
                    guard try transaction.deleteEgressGrant(host, of: name.function, in: namespace.id) else {
                        throw Problem(.notFound, "\(name) was not granted \(host); what its manifest lists is changed there")
                    }
                    transaction.record(
                        .egressRevoked, try transaction.function(name)?.auditScope ?? namespace.auditScope,
                        ["function": "\(name)", "target": host.description])
                }
                return .json(
                    EgressGrantView(target: host.description, warning: nil, try await applyGrants(to: name, by: request.principal)))
            },
        ]
    }

    private static var mostGrants: Int { 64 }

    private func target(_ request: APIRequest) throws(Problem) -> AllowedHost {
        do throws(EgressEntry.Fault) {
            // A range has a slash, which a path's segment holds as %2F alone.
            let text = request.parameter("target")
            return try EgressEntry.parse(text.removingPercentEncoding ?? text)
        } catch {
            throw Problem(.invalidRequest, "\(error.what); \(error.fix)")
        }
    }

    /// - Throws: `.forbidden` where addresses are listed by someone who may list names only.
    static func mayList(_ hosts: [AllowedHost], _ rights: GrantedRights, on resource: Resource) throws(Problem) {
        guard let address = hosts.first(where: { $0.range != nil }), !rights.has(.egressAddress, on: resource) else { return }
        throw Problem(.forbidden, "to list \(address), an address, takes the right \(Right.egressAddress.rawValue)")
    }

    /// The revision that was made of it; nil for a function that is not deployed yet.
    @discardableResult
    func applyGrants(to name: FunctionName, by principal: Principal) async throws -> Revision? {
        let author = DeployAuthor(subject: principal.subject, identity: principal.identity)
        guard let function = try await records.read({ try $0.function(name) }) else { return nil }
        // First of all: this alone takes away what is no longer granted, also from a revision that was rolled back to.
        try await catalog.reload(function.id)
        do {
            return try await deploy.applyGrants(to: function, by: author)
        } catch let problem as Problem where problem.code == .conflict {
            // A deployment was faster: once more, on what it made.
            guard let newer = try await records.read({ try $0.function(name) }) else { return nil }
            return try await deploy.applyGrants(to: newer, by: author)
        }
    }

    private func egressView(of name: FunctionName) async throws -> EgressView {
        let namespace = try await namespace(name.namespace)
        let (function, active, grants, policy) = try await records.read { transaction in
            let function = try transaction.function(name)
            return (
                function, try function?.activeRevision.flatMap { try transaction.revision($0) },
                try transaction.egressGrants(of: name.function, in: namespace.id), try transaction.policy(of: namespace.id)
            )
        }
        guard function != nil || !grants.isEmpty else { throw Problem.unknown(name) }
        let listed = try active.map { try CanonicalSpec.decode($0.specBytes) }?.egress ?? []
        var allowed = listed.map { EgressView.Allowed($0, source: "manifest") }
        allowed += grants.map { EgressView.Allowed($0.host, source: "grant", createdBy: $0.author.subject) }
        allowed += policy.egress.allow.map { EgressView.Allowed($0, source: "namespace") }
        var view = EgressView(
            function: name.description, revision: active?.number, development: policy.development, allowed: allowed, used: [], refused: [])
        guard let function else { return view }
        let record = egress.record(of: function.id)
        view.used = record.used.map { target, use in
            EgressView.Used(
                target: target, connections: use.connections, bytesOut: use.bytesOut, bytesIn: use.bytesIn, last: use.last.rfc3339)
        }.sorted { $0.target < $1.target }
        view.refused = record.refused.map { refused, seen in
            EgressView.Refused(target: refused.target, reason: refused.reason.rawValue, count: seen.count, last: seen.last.rfc3339)
        }.sorted { ($0.target, $0.reason) < ($1.target, $1.reason) }
        return view
    }
}

/// What a function may reach and why, and what it did since the server started.
struct EgressView: Encodable, Sendable {
    struct Allowed: Encodable, Sendable {
        var target: String
        /// `manifest`, `grant` or `namespace`.
        var source: String
        var createdBy: String?
        /// Of an address.
        var warning: String?

        init(_ host: AllowedHost, source: String, createdBy: String? = nil) {
            target = host.description
            self.source = source
            self.createdBy = createdBy
            warning = EgressEntry.warning(host)
        }
    }

    struct Used: Encodable, Sendable {
        var target: String
        var connections: Int
        var bytesOut: Int
        var bytesIn: Int
        var last: String
    }

    struct Refused: Encodable, Sendable {
        var target: String
        var reason: String
        var count: Int
        var last: String
    }

    var function: String
    var revision: Int?
    /// Whether what was refused may be suggested as entries.
    var development: Bool
    var allowed: [Allowed]
    var used: [Used]
    var refused: [Refused]
}

struct EgressGrantView: Encodable, Sendable {
    var target: String
    /// Of an address.
    var warning: String?
    /// Nil where the function is not deployed, or nothing changed.
    var revision: Int?
    /// Why somebody else has to approve that revision first; nil where it is live.
    var needsApproval: [ApprovalKind]?

    init(target: String, warning: String?, _ made: Revision?) {
        self.target = target
        self.warning = warning
        revision = made?.number
        needsApproval = made.flatMap { $0.state == .pendingApproval ? $0.needsApproval : nil }
    }
}
