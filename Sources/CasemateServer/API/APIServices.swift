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
    let audit: AuditLog
    let looks = RecentLooks()
    let comparisons = SecretComparisons()
    let progress = DeploymentProgress()
    let artifacts: ArtifactStore
    let logs: LogStore
    let vault: Vault
    let rotation: VaultRotation
    let checkpoints: Checkpoints
    let alerts: AlertDispatcher
    let backups: Backups
    let webhooks: WebhookSigner
    let signer: RevisionSigner
    let credentials: CredentialIndex
    let issuers: IssuerRegistry
    let sessions: CallSessions
    let prepared: PreparedSessions
    let consents: Consents
    let catalog: CatalogLoader
    let deploy: DeployPipeline
    let advisories: AdvisoryImport
    let rescan: Rescan
    let warden: WardenClient
    let counters: CallCounters
    let gateway: Gateway
    let egress: EgressRecords
    let policies: NamespacePolicies
    let queue: CallQueue
    let callKeys: CallKeys
    let scheduler: Scheduler
    let urls: PublicURLs
    let securityText: String

    var lookup: CallLookup { CallLookup(queue: queue, keys: callKeys, catalog: catalog.catalog) }

    /// All operations, one file per resource.
    var routes: [APIRoute] {
        serverRoutes + namespaceRoutes + functionRoutes + secretRoutes + tokenRoutes + logRoutes + deploymentRoutes + policyRoutes
            + egressRoutes + accessRoutes + serviceAccountRoutes + oauthRoutes + issuerRoutes
            + ownIssuerRoutes + sessionRoutes + federationRoutes + signInRoutes + consentRoutes + auditRoutes + vaultRoutes + alertRoutes
            + backupRoutes + revisionRoutes + gateRoutes + advisoryRoutes + postureRoutes + callRoutes + scheduleRoutes
    }

    /// What functions find at the platform's own name in their sandboxes: what takes a credential, which here is a session alone, and what
    /// they get as themselves.
    var insideRoutes: [APIRoute] { routes.filter { $0.need != .anyone && $0.need != .client } + workloadRoutes }

    var authentication: APIAuthentication { APIAuthentication(credentials: credentials, issuers: issuers) }

    func function(_ name: FunctionName) async throws -> Function {
        guard let function = try await records.read({ try $0.function(name) }) else {
            throw Problem.unknown(name)
        }
        return function
    }

    /// For a name that comes in a body: who has no right on the function is told that there is none.
    func function(_ name: FunctionName, knownTo principal: Principal) async throws -> Function {
        let function = try await function(name)
        guard !principal.rights.on(function.resource).isEmpty else { throw Problem.unknown(name) }
        return function
    }

    func namespace(_ name: NamespaceName) async throws -> Namespace {
        guard let namespace = try await records.read({ try $0.namespace(name) }) else {
            throw Problem.unknown(name)
        }
        return namespace
    }

    /// Returns once `event` is on disk: for what changes no record of the database, and must not happen unrecorded.
    func audited(_ event: AuditEvent) async throws(Problem) {
        let context = AuditContext.current
        do { try await audit.append(context?.completing(event) ?? event) } catch { throw .auditUnavailable }
        context?.countRecords(1)
    }

    /// Changes who may do what, in the records and in memory at once: whatever is written after this finds it in force. What stands against
    /// it is looked at within `body`, where nothing can come between.
    @discardableResult
    func changeAccess<T: Sendable>(_ body: @Sendable @escaping (Transaction) throws -> T) async throws -> T {
        do {
            return try await records.write { transaction in
                let result = try body(transaction)
                credentials.load(try transaction.access())
                issuers.load(try transaction.issuers())
                return result
            }
        } catch {
            // The load may have run before the write failed.
            try? await records.read { transaction in
                credentials.load(try transaction.access())
                issuers.load(try transaction.issuers())
            }
            throw error
        }
    }
}

/// Absolute URLs in answers come from here, never from a request's Host.
struct PublicURLs: Sendable {
    var api: String
    var gateway: String

    func call(_ name: FunctionName) -> String { "\(functions)\(name)" }
    /// What a function's URL begins with.
    var functions: String { gateway + "/f/" }
}
