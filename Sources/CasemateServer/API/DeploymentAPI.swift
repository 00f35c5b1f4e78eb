import CasemateDeploy
import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes
import HummingbirdCore
import NIOCore

extension APIServices {
    /// In bytes.
    static let largestArchive = ArtifactStore.largestInBytes

    var deploymentRoutes: [APIRoute] {
        [
            APIRoute(.post, "/v1/archives", needs: .within(.functionDeploy)) { try await storeArchive($0) },
            APIRoute(.post, "/v1/deployments", needs: .within(.functionDeploy)) { try await deployManifest($0) },
            APIRoute(.post, "/v1/namespaces/{namespace}/functions/{function}/upgrade", needs: .right(.functionDeploy)) {
                try await upgrade($0)
            },
            APIRoute(.get, "/v1/deployments/{deployment}/progress", needs: .within(.functionDeploy)) { request in
                try request.allowQuery(["after"])
                let after = try request.number("after", default: 0, in: 0...1_000_000)
                let lines = progress.lines(of: request.parameter("deployment"), by: request.principal.identity, after: after)
                guard let lines else { throw Problem(.notFound, "no such deployment of yours is under way") }
                return .json(ProgressView(lines: lines))
            },
        ]
    }

    private func storeArchive(_ request: APIRequest) async throws -> APIResponse {
        let upload = try artifacts.upload(by: request.principal.identity)
        var size = 0
        for try await part in request.request.body {
            size += part.readableBytes
            guard size <= Self.largestArchive else { throw Problem(.tooLarge, "an archive is at most \(Self.largestArchive >> 20) MiB") }
            try upload.write(Array(part.readableBytesView))
        }
        guard size > 0 else { throw Problem(.invalidRequest, "the archive is empty") }
        let digest = try await upload.finish { [size] digest in
            try await audited(AuditEvent(.sourceUploaded, ["digest": digest, "bytes": "\(size)"]))
        }
        return .json(ArchiveView(digest: digest, bytes: size), status: .created)
    }

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser (a crash while it splits the coroutine).
    @inline(never)
    static func deployRequest(_ bytes: [UInt8], by principal: Principal, rights: @Sendable @escaping () -> GrantedRights) throws
        -> (DeployRequest, id: String?)
    {
        let body: NewDeployment = try StrictJSON.decode(bytes)
        guard body.id.map({ Id<DeployRequest>($0) != nil }) ?? true else { throw Problem(.invalidRequest, "id: a UUID that you choose") }
        return (try body.request(by: principal, rights: rights), body.id)
    }

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func upgradeRequest(_ bytes: [UInt8], by principal: Principal, rights: @Sendable @escaping () -> GrantedRights) throws
        -> DeployRequest
    {
        let body: NewUpgrade = try StrictJSON.decode(bytes)
        let names = body.packages ?? ["*"]
        guard !names.isEmpty, names.count <= 100, names.allSatisfy({ $0 == "*" || PackageSources.pattern($0)?.hasSuffix("*") == false })
        else { throw Problem(.invalidRequest, "packages: names of packages, 1 to 100; without any all are upgraded") }
        var request = DeployRequest(
            namespace: nil, manifest: "", manifestFile: "casemate.yaml", sources: [:], isDryRun: body.dryRun ?? false,
            subject: principal.subject, identity: principal.identity, rights: rights)
        request.upgrades = names
        return request
    }

    private func upgrade(_ request: APIRequest) async throws -> APIResponse {
        let body = try await request.body(limit: 65_536)
        let order = try Self.upgradeRequest(body, by: request.principal, rights: { request.principal.rights })
        let outcome = try await deploy.upgrade(try await function(try request.functionName()), order)
        try await noteRefusals([outcome])
        return .json(FunctionOutcome(outcome, urls: urls))
    }

    /// What came of nothing is on record, too.
    func noteRefusals(_ outcomes: [DeployOutcome]) async throws {
        for outcome in outcomes where outcome.status == .failed {
            let scope = try await auditScope(of: outcome.function)
            let event = AuditEvent(
                .deployRefused, scope, outcome: .refused,
                ["function": outcome.function, "stage": outcome.stage ?? "", "problem": outcome.problemType ?? ""])
            audit.note(AuditContext.current?.completing(event) ?? event)
        }
        AuditContext.current?.changedNothing()
    }

    private func deployManifest(_ request: APIRequest) async throws -> APIResponse {
        let body = try await request.body(limit: 4 << 20)
        var (order, id) = try Self.deployRequest(body, by: request.principal, rights: { request.principal.rights })
        if let id { order.progress = try progress.begin(id, by: order.identity) }
        defer { if let id { progress.end(id, by: order.identity) } }
        let outcomes = try await deploy.deploy(order)
        try await noteRefusals(outcomes)
        return .json(DeploymentView(outcomes, urls: urls))
    }
}

extension APIServices {
    /// Of a function that may not be there.
    fileprivate func auditScope(of text: String) async throws -> AuditEvent.Scope {
        guard let name = FunctionName(text) else { return .platform }
        return try await records.read { transaction in
            try transaction.function(name)?.auditScope ?? transaction.namespace(name.namespace)?.auditScope ?? .platform
        }
    }
}

struct ArchiveView: Encodable, Sendable {
    var digest: String
    var bytes: Int
}

struct NewDeployment: StrictDecodable {
    static let fields: Set<String> = ["namespace", "manifest", "file", "sources", "signatures", "dryRun", "id"]
    var namespace: NamespaceName?
    /// The manifest's text.
    var manifest: String
    /// Its name, for messages.
    var file: String?
    /// Digest of an uploaded archive, per function.
    var sources: [String: String]
    /// What whoever deploys signed, per function: `ssh-keygen -Y sign -n casemate`, armored.
    var signatures: [String: String]?
    var dryRun: Bool?
    /// Under which the client asks how far it is, while it is under way.
    var id: String?

    func request(by principal: Principal, rights: @Sendable @escaping () -> GrantedRights) throws(Problem) -> DeployRequest {
        var labelled: [FunctionLabel: String] = [:]
        for (name, digest) in sources {
            guard let label = FunctionLabel(name) else { throw Problem(.invalidName, FunctionLabel.rule) }
            guard ArtifactStore.isDigest(digest) else {
                throw Problem(.invalidRequest, "a source is the digest that /v1/archives answered")
            }
            labelled[label] = digest
        }
        var request = DeployRequest(
            namespace: namespace, manifest: manifest, manifestFile: file ?? "casemate.yaml", sources: labelled, isDryRun: dryRun ?? false,
            subject: principal.subject, identity: principal.identity, rights: rights)
        for (name, signature) in signatures ?? [:] {
            guard let label = FunctionLabel(name) else { throw Problem(.invalidName, FunctionLabel.rule) }
            request.signatures[label] = signature
        }
        return request
    }
}

struct NewUpgrade: StrictDecodable {
    static let fields: Set<String> = ["packages", "dryRun"]
    /// All, where there are none.
    var packages: [String]?
    var dryRun: Bool?
}

struct DeploymentView: Encodable, Sendable {
    var functions: [FunctionOutcome]

    init(_ outcomes: [DeployOutcome], urls: PublicURLs) { functions = outcomes.map { FunctionOutcome($0, urls: urls) } }
}

struct FunctionOutcome: Encodable, Sendable {
    var outcome: DeployOutcome
    var url: String

    init(_ outcome: DeployOutcome, urls: PublicURLs) {
        self.outcome = outcome
        url = "\(urls.gateway)/f/\(outcome.function)"
    }

    private enum Keys: CodingKey { case url }

    func encode(to encoder: any Encoder) throws {
        try outcome.encode(to: encoder)
        var container = encoder.container(keyedBy: Keys.self)
        try container.encode(url, forKey: .url)
    }
}
