import CasemateDeploy
import CasemateIdentity
import CasemateInvoke
import CasemateLinux
import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateWire
import HTTPTypes

extension APIServices {
    var functionRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/namespaces/{namespace}/functions", needs: .within(.functionRead)) { request in
                try request.allowQuery([])
                let namespace = try await namespace(try request.namespace())
                let rights = request.principal.rights
                let functions = try await records.read { transaction in
                    try transaction.functions(in: namespace.id).filter {
                        rights.has(.functionRead, on: .function($0.id, in: namespace.id))
                    }.map { function in
                        (function, try function.activeRevision.flatMap { try transaction.revision($0) })
                    }
                }
                return .json(FunctionList(functions: try functions.map { try FunctionView($0.0, active: $0.1, urls: urls) }))
            },
            APIRoute(.get, "/v1/namespaces/{namespace}/functions/{function}", needs: .right(.functionRead)) { request in
                let function = try await function(try request.functionName())
                let (revisions, secrets) = try await records.read { (try $0.revisions(of: function.id), try $0.secrets(of: function.id)) }
                var view = try FunctionView(function, active: revisions.first { $0.id == function.activeRevision }, urls: urls)
                // Their names tell what a function can get at.
                if request.principal.rights.has(.secretWrite, on: function.resource) { view.secrets = secrets.map(\.name.text) }
                view.revisions = revisions.map { RevisionView($0, isActive: $0.id == function.activeRevision) }
                return .json(view)
            },
            APIRoute(.delete, "/v1/namespaces/{namespace}/functions/{function}", needs: .right(.functionDelete)) { request in
                let function = try await function(try request.functionName())
                let revisions = try await records.read { try $0.revisions(of: function.id) }
                // The row's data key goes with it: what backups hold of its secrets stays sealed.
                try await changeAccess { transaction in
                    try transaction.delete(function)
                    transaction.record(.functionDeleted, function.auditScope)
                }
                try await catalog.reload(function.id)
                await logs.delete(function.id)
                egress.forget(function.id)
                await removeUnused(revisions)
                return .noContent
            },
            APIRoute(.post, "/v1/namespaces/{namespace}/functions/{function}/rollback", needs: .right(.functionDeploy)) { request in
                let body: Rollback = try await request.json()
                let name = try request.functionName()
                let function = try await function(name)
                let target = try await records.write { transaction in
                    // Another may have the name by now.
                    try request.require(.functionDeploy, on: function.resource, for: "to roll back \(name)")
                    let revisions = try transaction.revisions(of: function.id)
                    guard let active = revisions.first(where: { $0.id == function.activeRevision }) else {
                        throw Problem(.conflict, "\(name) has not been deployed yet")
                    }
                    let wanted =
                        body.revision.map { number in revisions.first { $0.number == number } }
                        ?? revisions.first { $0.number < active.number }
                    guard let wanted else {
                        throw Problem(
                            .notFound,
                            body.revision.map { "\(name) has no revision \($0)" } ?? "\(name) has no revision before \(active.number)")
                    }
                    let spec = try CanonicalSpec.decode(wanted.specBytes)
                    if spec.access == .public {
                        try request.require(.functionPublish, on: function.resource, for: "revision \(wanted.number) is public: that")
                    }
                    if spec.secretsInResponse == .allow {
                        try request.require(
                            .gateWaive, on: function.resource, for: "revision \(wanted.number) may answer with its secrets: that")
                    }
                    try Self.mayList(spec.egress ?? [], request.principal.rights, on: function.resource)
                    try transaction.activate(wanted.id, of: function.id, at: .now)
                    transaction.record(
                        .functionRolledBack, function.auditScope,
                        ["from": "\(active.number)", "to": "\(wanted.number)", "bundle": wanted.bundleDigest])
                    return wanted
                }
                try await catalog.reload(function.id)
                return .json(RevisionView(target, isActive: true))
            },
            APIRoute(.get, "/v1/namespaces/{namespace}/functions/{function}/source", needs: .right(.sourceRead)) { request in
                try request.allowQuery(["revision"])
                let name = try request.functionName()
                let function = try await function(name)
                let revisions = try await records.read { try $0.revisions(of: function.id) }
                let number = request.query["revision"] == nil ? nil : try request.number("revision", default: 0, in: 1...Int.max)
                guard let revision = revisions.first(where: { number == nil ? $0.id == function.activeRevision : $0.number == number })
                else {
                    throw Problem(.notFound, number.map { "\(name) has no revision \($0)" } ?? "\(name) has not been deployed yet")
                }
                guard let archive = artifacts.open(revision.sourceDigest) else {
                    throw Problem(.notFound, "the source of revision \(revision.number) is not here any more")
                }
                try await audited(AuditEvent(.sourceRead, function.auditScope, ["revision": "\(revision.number)"]))
                return .file(archive, length: try Files.size(of: archive), contentType: "application/zip")
            },
        ]
    }

    /// Bundles and sources that no other revision has.
    private func removeUnused(_ revisions: [Revision]) async {
        for digest in Set(revisions.map(\.bundleDigest)) {
            guard (try? await records.read { try $0.isBundleUsed(digest) }) == false, let bundle = BundleDigest(hex: digest) else {
                continue
            }
            _ = try? await warden.order(.removeBundle(bundle))
        }
        for digest in Set(revisions.map(\.sourceDigest)) where (try? await records.read { try $0.isSourceUsed(digest) }) == false {
            artifacts.remove(digest)
        }
    }
}

struct Rollback: StrictDecodable {
    static let fields: Set<String> = ["revision"]
    var revision: Int?
}

struct FunctionList: Encodable, Sendable { var functions: [FunctionView] }

struct FunctionView: Encodable, Sendable {
    var id: String
    var namespace: String
    var name: String
    var url: String
    var access: String?
    var runtime: String?
    var handler: String?
    var signature: String?
    var activeRevision: Int?
    /// What its calls may do for their callers.
    var capabilities: [String]?
    /// To whom it may prove who it is.
    var identity: [String]?
    /// What becomes of an answer with one of its secrets in it.
    var secretsInResponse: String?
    /// Why no call of it runs.
    var disabled: String?
    /// Where its source was fetched from.
    var git: GitSource?
    var created: String
    var updated: String
    var secrets: [String]?
    var revisions: [RevisionView]?

    init(_ function: Function, active: Revision?, urls: PublicURLs) throws {
        id = function.id.text
        namespace = function.name.namespace.text
        name = function.name.function.text
        url = urls.call(function.name)
        created = function.created.rfc3339
        updated = function.updated.rfc3339
        disabled = function.disabled
        guard let active else { return }
        let spec = try CanonicalSpec.decode(active.specBytes)
        access = spec.access.rawValue
        runtime = spec.runtime
        handler = spec.handler
        signature = spec.signature?.rawValue
        activeRevision = active.number
        capabilities = spec.capabilities?.map(\.description)
        identity = spec.audiences
        git = spec.git
        secretsInResponse = spec.secretsInResponse?.rawValue ?? "redact"
    }
}

struct RevisionView: Encodable, Sendable {
    var number: Int
    var isActive: Bool
    var bundleDigest: String
    var sourceDigest: String
    var created: String
    var createdBy: String
    var lock: String?
    var findings: [Diagnostic]

    init(_ revision: Revision, isActive: Bool) {
        number = revision.number
        self.isActive = isActive
        bundleDigest = "sha256:" + revision.bundleDigest
        sourceDigest = "sha256:" + revision.sourceDigest
        created = revision.created.rfc3339
        createdBy = revision.createdBy
        lock = revision.lock
        findings = revision.findings
    }
}
