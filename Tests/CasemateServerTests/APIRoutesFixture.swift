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
func withRoutes(_ body: ([APIRoute]) throws -> Void) async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("casemate-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let records = try Records(path: folder + "/casemate.db")
    let artifacts = try ArtifactStore(folder: folder + "/artifacts")
    let vault = Vault(keyring: try FileKeyring(path: folder + "/kek", mayCreate: true))
    let warden = WardenClient(path: folder + "/no.sock")
    let gateway = Gateway()
    let services = APIServices(
        records: records, artifacts: artifacts, logs: try LogStore(folder: folder + "/logs"), vault: vault, credentials: CredentialIndex(),
        catalog: CatalogLoader(records: records, catalog: Catalog()),
        deploy: DeployPipeline(
            records: records, artifacts: artifacts, vault: vault, signer: try RevisionSigner(path: folder + "/signing", mayCreate: true),
            warden: warden, index: try PackageIndex(url: "https://pypi.example/simple", fileHosts: []), logger: Logger(label: "test"),
            changed: { _, _ in }),
        warden: warden, counters: CallCounters(), gateway: gateway, urls: PublicURLs(api: "http://a", gateway: "http://g"), securityText: ""
    )
    do {
        try body(services.routes)
    } catch {
        await gateway.shutDown()
        throw error
    }
    await gateway.shutDown()
}
