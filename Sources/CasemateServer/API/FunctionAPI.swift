import CasemateDeploy
import CasemateIdentity
import CasemateInvoke
import CasemateLinux
import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
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
                let (revisions, secrets, approvals, split) = try await records.read { transaction in
                    let revisions = try transaction.revisions(of: function.id)
                    return (
                        revisions, try transaction.secrets(of: function.id), try revisions.map { try transaction.approvals(of: $0.id) },
                        try transaction.split(of: function.id)
                    )
                }
                var view = try FunctionView(function, active: revisions.first { $0.id == function.activeRevision }, urls: urls)
                // Their names tell what a function can get at.
                if request.principal.rights.has(.secretWrite, on: function.resource) { view.secrets = secrets.map(\.name.text) }
                view.revisions = zip(revisions, approvals).map { revision, approvals in
                    RevisionView(revision, approvals, isActive: revision.id == function.activeRevision)
                }
                view.split = split.flatMap { split in revisions.first { $0.id == split.revision }.map { SplitView(split, $0) } }
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
                // What runs for nobody any more holds a worker until its time is over.
                for call in try await queue.calls(CallFilter(place: .function(function.id), states: [.running], limit: 1_000)) {
                    gateway.cancel(call.id)
                }
                // Nothing can open them any more; of many, most go while nobody waits, and after a restart with the next look.
                if try await !queue.removeAll(of: function.id, atMost: 2_000) {
                    Task { try await queue.removeAll(of: function.id) }
                }
                egress.forget(function.id)
                await deploy.removeUnused(of: revisions)
                return .noContent
            },
            APIRoute(.post, "/v1/namespaces/{namespace}/functions/{function}/rollback", needs: .right(.functionDeploy)) { request in
                let body: Rollback = try await request.json()
                return .json(try await rollback(to: body.revision, request))
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
                guard let archive = try await artifacts.open(revision.sourceDigest) else {
                    throw Problem(.notFound, "the source of revision \(revision.number) is not here any more")
                }
                try await audited(AuditEvent(.sourceRead, function.auditScope, ["revision": "\(revision.number)"]))
                return .file(archive, length: try Files.size(of: archive), contentType: "application/zip")
            },
        ]
    }

    private func rollback(to number: Int?, _ request: APIRequest) async throws -> RevisionView {
        let name = try request.functionName()
        let function = try await function(name)
        let (revisions, policy) = try await records.read { transaction in
            (try transaction.revisions(of: function.id), try transaction.policy(of: function.namespaceId))
        }
        guard let active = revisions.first(where: { $0.id == function.activeRevision }) else {
            throw Problem(.conflict, "\(name) has not been deployed yet")
        }
        let wanted =
            number.map { number in revisions.first { $0.number == number } }
            ?? revisions.first { $0.number < active.number && $0.state == .ready }
        guard let wanted else {
            throw Problem(.notFound, number.map { "\(name) has no revision \($0)" } ?? "\(name) has no revision before \(active.number)")
        }
        let target = try await deploy.activate(again: wanted, of: function) { transaction in
            // Another may have the name by now.
            try request.require(.functionDeploy, on: function.resource, for: "to roll back \(name)")
            try mayRun(wanted, of: function, policy.supplyChain, request, transaction)
        }
        return try await revisionView(target, isActive: true)
    }

    /// What a revision may do takes the rights that deploying it took, and its namespace's policy may have changed since.
    /// - Throws: `.forbidden`; `.untrustedVersion`; `.promotionRequired`.
    func mayRun(
        _ revision: Revision, of function: Function, _ policy: SupplyChainPolicy, _ request: APIRequest, _ transaction: Transaction
    ) throws {
        let spec = try CanonicalSpec.decode(revision.specBytes)
        if spec.access == .public {
            try request.require(.functionPublish, on: function.resource, for: "revision \(revision.number) is public: that")
        }
        if spec.secretsInResponse == .allow {
            try request.require(
                .gateWaive, on: function.resource, for: "revision \(revision.number) may answer with its secrets: that")
        }
        try Self.mayList(spec.egress ?? [], request.principal.rights, on: function.resource)
        let isReviewed = try transaction.approvals(of: revision.id).contains { signer.isValid($0, of: revision) }
        if let why = policy.refusal(of: revision, isReviewed: isReviewed) {
            throw Problem(.untrustedVersion, "no call may run revision \(revision.number) of \(function.name): \(why)")
        }
        guard !policy.production || revision.origin != nil else {
            throw Problem(
                .promotionRequired,
                "\(function.name.namespace) is a production namespace, and revision \(revision.number) was not promoted to it")
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
    /// Of which a part of the calls runs another revision.
    var split: SplitView?
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
