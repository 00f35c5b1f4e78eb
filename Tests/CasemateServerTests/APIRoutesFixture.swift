import CasemateDeploy
import CasemateIdentity
import CasemateInvoke
import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import Foundation
import Logging

@testable import CasemateServer

/// The operations of a server that does not run: every part is real, none is started.
func withServices(_ body: (APIServices) async throws -> Void) async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("casemate-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let checkpointSigner = try CheckpointSigner(path: folder + "/audit.key", mayCreate: true)
    let audit = try AuditLog(folder: folder + "/audit", publicKey: checkpointSigner.publicKey)
    defer { audit.close() }
    let records = try Records(path: folder + "/casemate.db", audit: audit)
    let artifacts = try ArtifactStore(folder: folder + "/artifacts")
    let vault = Vault(providers: [try FileKeyring(path: folder + "/kek", mayCreate: true)])
    let catalog = Catalog()
    let warden = WardenClient(path: folder + "/no.sock")
    let gateway = Gateway()
    let logger = Logger(label: "test")
    let logs = try LogStore(folder: folder + "/logs")
    let policies = NamespacePolicies()
    let network = try EgressNetwork(resolver: try UpstreamResolver(servers: ["127.0.0.1:9"]), warden: warden)
    let webhooks = try WebhookSigner(path: folder + "/webhook.key")
    let sandboxes = GateSandboxes(network: network)
    let queue = try CallQueue(path: folder + "/queue.db", worker: "test")
    let callKeys = CallKeys(vault: vault)
    let services = APIServices(
        records: records, audit: audit, artifacts: artifacts, logs: logs, vault: vault,
        rotation: VaultRotation(records: records, vault: vault, catalog: catalog, audit: audit, logger: logger),
        checkpoints: try Checkpoints(log: audit, signer: checkpointSigner, places: [], failed: { _, _ in }),
        alerts: AlertDispatcher(
            records: records, audit: audit, webhook: Webhook(signer: webhooks, network: network, source: "http://a"), logger: logger),
        backups: Backups(folder: folder, records: records, queue: queue, vault: vault), webhooks: webhooks,
        signer: RevisionSigner(try FileRevisionKey(path: folder + "/signing", mayCreate: true)), credentials: CredentialIndex(),
        issuers: IssuerRegistry(fetch: { _ in [] }, failed: { _, _ in }),
        sessions: CallSessions(rightsNow: { _ in .none }, resource: { _ in nil }), prepared: PreparedSessions(), consents: Consents(),
        catalog: CatalogLoader(
            records: records, catalog: catalog, signer: RevisionSigner(try FileRevisionKey(path: folder + "/signing", mayCreate: true))),
        deploy: DeployPipeline(
            records: records, audit: audit, artifacts: artifacts, vault: vault, sources: SecretSources([]),
            signer: RevisionSigner(try FileRevisionKey(path: folder + "/signing", mayCreate: true)),
            network: network, index: try PackageIndex(url: "https://pypi.example/simple", fileHosts: []), sandboxes: sandboxes,
            policies: policies, logger: logger,
            changed: { _, _ in }),
        advisories: AdvisoryImport(sandboxes: sandboxes),
        rescan: Rescan(records: records, sandboxes: sandboxes, policies: policies, logger: logger, changed: { _ in }),
        warden: warden, counters: CallCounters(), gateway: gateway,
        egress: EgressRecords(network: network, policies: policies, logs: logs, audit: audit, logger: logger), policies: policies,
        queue: queue, callKeys: callKeys,
        scheduler: Scheduler(
            records: records, queue: queue, keys: callKeys, catalog: catalog, audit: audit, logs: logs, logger: logger, arrived: { _ in },
            rightsNow: { _ in .none }),
        urls: PublicURLs(api: "http://a", gateway: "http://g"), securityText: ""
    )
    var failure: (any Error)?
    do { try await body(services) } catch { failure = error }
    await gateway.shutDown()
    await network.shutDown()
    if let failure { throw failure }
}

func withRoutes(_ body: ([APIRoute]) throws -> Void) async throws {
    try await withServices { try body($0.routes) }
}
