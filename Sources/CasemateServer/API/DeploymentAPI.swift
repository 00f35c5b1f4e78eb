import CasemateDeploy
import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes
import HummingbirdCore
import NIOCore

extension APIServices {
    /// In bytes.
    static let largestArchive = 100 << 20

    var deploymentRoutes: [APIRoute] {
        [
            APIRoute(.post, "/v1/archives", needs: .functionDeploy) { request in
                let upload = try artifacts.upload()
                var size = 0
                for try await part in request.request.body {
                    size += part.readableBytes
                    guard size <= Self.largestArchive else {
                        throw Problem(.tooLarge, "an archive is at most \(Self.largestArchive >> 20) MiB")
                    }
                    try upload.write(Array(part.readableBytesView))
                }
                guard size > 0 else { throw Problem(.invalidRequest, "the archive is empty") }
                return .json(ArchiveView(digest: try upload.finish(), bytes: size), status: .created)
            },
            APIRoute(.post, "/v1/deployments", needs: .functionDeploy) { request in
                let body: NewDeployment = try await request.json(limit: 4 << 20)
                var sources: [FunctionLabel: String] = [:]
                for (name, digest) in body.sources {
                    guard let label = FunctionLabel(name) else { throw Problem(.invalidName, FunctionLabel.rule) }
                    guard ArtifactStore.isDigest(digest) else {
                        throw Problem(.invalidRequest, "a source is the digest that /v1/archives answered")
                    }
                    sources[label] = digest
                }
                let outcomes = try await deploy.deploy(
                    DeployRequest(
                        namespace: body.namespace, manifest: body.manifest, manifestFile: body.file ?? "casemate.yaml", sources: sources,
                        isDryRun: body.dryRun ?? false, subject: request.principal.subject))
                return .json(DeploymentView(functions: outcomes.map { FunctionOutcome($0, urls: urls) }))
            },
        ]
    }
}

struct ArchiveView: Encodable, Sendable {
    var digest: String
    var bytes: Int
}

struct NewDeployment: StrictDecodable {
    static let fields: Set<String> = ["namespace", "manifest", "file", "sources", "dryRun"]
    var namespace: NamespaceName?
    /// The manifest's text.
    var manifest: String
    /// Its name, for messages.
    var file: String?
    /// Digest of an uploaded archive, per function.
    var sources: [String: String]
    var dryRun: Bool?
}

struct DeploymentView: Encodable, Sendable { var functions: [FunctionOutcome] }

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
