import CasemateDeploy
import CasemateIdentity
import CasemateInvoke
import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault

/// What the operations work on.
struct APIServices: Sendable {
    let records: Records
    let artifacts: ArtifactStore
    let logs: LogStore
    let vault: Vault
    let credentials: CredentialIndex
    let catalog: CatalogLoader
    let deploy: DeployPipeline
    let warden: WardenClient
    let counters: CallCounters
    let gateway: Gateway
    let egress: EgressRecords
    let policies: NamespacePolicies
    let urls: PublicURLs
    let securityText: String

    /// All operations, one file per resource.
    var routes: [APIRoute] {
        serverRoutes + namespaceRoutes + functionRoutes + secretRoutes + tokenRoutes + logRoutes + deploymentRoutes + policyRoutes
            + egressRoutes
    }

    func function(_ name: FunctionName) async throws -> Function {
        guard let function = try await records.read({ try $0.function(name) }) else {
            throw Problem(.notFound, "there is no function \(name)")
        }
        return function
    }

    func namespace(_ name: NamespaceName) async throws -> Namespace {
        guard let namespace = try await records.read({ try $0.namespace(name) }) else {
            throw Problem(.notFound, "there is no namespace \(name)")
        }
        return namespace
    }

    func reloadCredentials() async throws { credentials.load(try await records.read { try $0.credentials() }) }
}

/// Absolute URLs in answers come from here, never from a request's Host.
struct PublicURLs: Sendable {
    var api: String
    var gateway: String

    func call(_ name: FunctionName) -> String { "\(gateway)/f/\(name)" }
}
