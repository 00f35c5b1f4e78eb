import CasemateAWS
import CasemateDeploy
import CasemateIdentity
import CasemateInvoke
import CasemateLinux
import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CLinux
import Foundation
import Hummingbird
import HummingbirdTLS
import Logging
import NIOCore
import NIOSSL
import Synchronization

/// The composition root: makes every part once, runs both listeners until told to stop, and takes everything down again.
public struct Server: Sendable {
    private let settings: ServerSettings
    private let environment: ServeEnvironment
    private let logger: Logger

    public init(settings: ServerSettings, environment: ServeEnvironment) {
        self.settings = settings
        self.environment = environment
        let level = Logger.Level(rawValue: settings.logLevel) ?? .info
        logger = Logger(label: "casemate") { JSONLogHandler(logLevel: level, label: $0) }
    }

    /// Runs until SIGTERM or SIGINT. Prints where it listens once both listeners are open.
    public func run() async throws {
        umask(0o077)
        Self.raiseDescriptorLimit()
        let folder = settings.data + "/server"
        let isNew = !Files.exists(folder + "/casemate.db") || (try? Files.read(folder + "/casemate.db", limit: 1)).map(\.isEmpty) == true
        // Keys are made after the database: where they are, one that is not was lost, and must not be replaced silently.
        let hasKeys = Files.exists(folder + "/signing.key") || Files.exists(folder + "/kek")
        guard !isNew || !hasKeys else { throw RecordsError.missing }
        let checkpointSigner = try CheckpointSigner(path: folder + "/audit.key", mayCreate: isNew || !Files.exists(folder + "/audit"))
        let audit = try AuditLog(folder: folder + "/audit", publicKey: checkpointSigner.publicKey)
        defer { audit.close() }
        audit.onFailure { [logger] why in
            guard let why else { return logger.notice("the audit log can be written again") }
            logger.critical("the audit log can't be written: nothing that must be recorded happens", metadata: ["reason": "\(why)"])
        }
        let records = try Records(path: folder + "/casemate.db", audit: audit, mayBegin: !hasKeys)
        let aws = try settings.awsSource(handedOn: environment.aws)
        let vault = try await makeVault(records, audit, folder, aws)
        let checkpoints = try makeCheckpoints(audit, checkpointSigner, aws)
        let sources = try makeSources(aws, hasAWS: settings.awsCredentials != nil || environment.aws != nil)
        let webhooks = try WebhookSigner(path: folder + "/webhook.key")
        // Made once the API's URL is known, which stands in each event.
        let dispatcher = Mutex<AlertDispatcher?>(nil)
        let signer = try await settings.signer(folder: folder, mayCreate: try await isEmpty(records), aws: aws)
        let tokenSigner = try TokenSigner(path: folder + "/token.key")
        let artifacts = try makeArtifacts(folder + "/artifacts", audit, aws, owner: checkpoints.chain)
        try await artifacts.begin()
        let logs = try LogStore(
            folder: folder + "/logs",
            limits: .init(keptFor: .seconds(settings.logRetentionInDays * 86_400), bytesPerFunction: settings.logBytesPerFunction))
        let credentials = CredentialIndex()
        if let hex = environment.adminKeyHash, let hash = Self.bytes(hex: hex) {
            try await records.write { try $0.setBootstrapKey(hash: hash, prefix: environment.adminKeyPrefix, at: .now) }
        }
        credentials.load(try await records.read { try $0.access() })
        let issuers = IssuerRegistry(fetch: IssuerFetcher().callAsFunction) { [logger] issuer, error in
            logger.warning("an issuer's keys could not be fetched", metadata: ["issuer": "\(issuer.name)", "error": "\(error)"])
        }
        issuers.load(try await records.read { try $0.issuers() })
        let lock = try WorkerLock(folder: folder + "/workers")
        let queue = try CallQueue(path: folder + "/queue.db", worker: lock.name)
        let callKeys = CallKeys(vault: vault)
        let catalog = Catalog()
        let deadLetters = DeadLetters(queue: queue, keys: callKeys, catalog: catalog, audit: audit, logs: logs)
        let prepared = PreparedSessions()
        let consents = Consents()
        consents.load(try await records.read { try $0.consents() })
        let sessions = CallSessions(
            rightsNow: { credentials.rightsNow(of: $0) { issuers.issuer($0) != nil } },
            resource: { name in catalog.function(named: name.description[...]).map { .function($0.id, in: $0.namespaceId) } })
        let loader = CatalogLoader(records: records, catalog: catalog, signer: signer)
        try await loader.loadAll()

        let policies = NamespacePolicies()
        policies.load(try await records.read { try $0.policies() })
        let warden = WardenClient(path: environment.wardenSocket)
        let network = try EgressNetwork(
            resolver: try UpstreamResolver(servers: settings.resolvers), warden: warden,
            limits: EgressNetwork.Limits(
                perFunction: EgressRecord.Limits(connections: settings.egressConnections, bytesPerHour: settings.egressBytesPerHour)),
            authorities: try Self.pem(environment.authorities, "the authorities of egress-authorities") ?? [])
        let egress = EgressRecords(network: network, policies: policies, logs: logs, audit: audit, logger: logger)
        let counters = CallCounters()
        let gateway = Gateway()
        let tls = try tlsContext()
        let gatewayPort = try await gateway.start(
            GatewaySettings(
                host: settings.gateway.host, port: settings.gateway.port, socket: environment.gatewaySocket,
                maximumRequestBody: settings.maximumRequestBytes,
                tls: tls?.context,
                trustedProxies: settings.trustedProxies.compactMap { AddressRange($0) }),
            warden: warden, catalog: catalog
        ) { [settings, logger] loop in
            InvokePipeline(
                credentials: credentials, issuers: issuers, catalog: catalog,
                services: CallServices(
                    vault: vault, sources: sources, signer: signer, logs: logs, audit: audit, counters: counters,
                    maximumResponseBody: settings.maximumResponseBytes,
                    frozenBytes: settings.frozenBytes, egress: egress, catalog: catalog, sessions: sessions,
                    prepared: prepared, consents: consents, queue: queue, callKeys: callKeys, deadLetters: deadLetters,
                    queueFault: { [logger] in logger.error("the queue can't be written", metadata: ["error": "\($0)"]) }, loop: loop),
                pools: [
                    "python3.11": SandboxPool(
                        profile: "python3.11", target: settings.poolSize, most: settings.poolMaximum, loop: loop, network: network)
                ],
                maximumRequestBody: settings.maximumRequestBytes, maximumQueuedCalls: settings.queueWorkers)
        }
        let scheme = tls == nil ? "http" : "https"
        let gatewayURL = settings.gatewayURL ?? "\(scheme)://\(ServerSettings.Endpoint(host: settings.gateway.host, port: gatewayPort))"
        issuers.setGateway(gatewayURL)
        let gateSandboxes = GateSandboxes(network: network)
        let deploy = DeployPipeline(
            records: records, audit: audit, artifacts: artifacts, vault: vault, sources: sources, signer: signer,
            network: network,
            index: try PackageIndex(url: settings.indexURL ?? "", fileHosts: settings.indexHosts), sandboxes: gateSandboxes,
            policies: policies, logger: logger,
            changed: { try await loader.reload($0, loadInMilliseconds: $1) })
        let rescan = Rescan(
            records: records, sandboxes: gateSandboxes, policies: policies, logger: logger,
            changed: { try await loader.reload($0, loadInMilliseconds: nil) })
        let rotation = VaultRotation(records: records, vault: vault, catalog: catalog, audit: audit, logger: logger)
        let backups = Backups(folder: folder, records: records, queue: queue, vault: vault)
        let scheduler = Scheduler(
            records: records, queue: queue, keys: callKeys, catalog: catalog, audit: audit, logs: logs, logger: logger,
            arrived: { gateway.queueHas($0) }, rightsNow: { credentials.rightsNow(of: $0) { issuers.issuer($0) != nil } })
        loader.onReload { [logger] function in
            do { try await scheduler.reload(function) } catch {
                logger.error("a function's schedules could not be read", metadata: ["function": "\(function)", "error": "\(error)"])
            }
        }
        let makeServices: @Sendable (String) -> APIServices = { apiURL in
            issuers.setOwn(OwnIssuer(url: apiURL, signer: tokenSigner))
            let alerts = AlertDispatcher(
                records: records, audit: audit, webhook: Webhook(signer: webhooks, network: network, source: apiURL), logger: logger)
            dispatcher.withLock { $0 = alerts }
            Task { await alerts.begin() }
            return APIServices(
                records: records, audit: audit, artifacts: artifacts, logs: logs, vault: vault, rotation: rotation,
                checkpoints: checkpoints, alerts: alerts, backups: backups, webhooks: webhooks, signer: signer, credentials: credentials,
                issuers: issuers,
                sessions: sessions, prepared: prepared, consents: consents,
                catalog: loader, deploy: deploy, advisories: AdvisoryImport(sandboxes: gateSandboxes), rescan: rescan,
                warden: warden, counters: counters, gateway: gateway, egress: egress, policies: policies,
                queue: queue, callKeys: callKeys, scheduler: scheduler,
                urls: PublicURLs(api: apiURL, gateway: gatewayURL),
                securityText: SecurityText(settings).text)
        }
        let api = APIListener(
            settings: settings, socket: environment.apiSocket, tls: tls?.configuration, logger: logger,
            willStop: { gateway.prepareToStop() }, makeServices: makeServices)
        let keeper = QueueKeeper(
            queue: queue, lock: lock, gateway: gateway, deadLetters: deadLetters, records: records, policies: policies, catalog: catalog,
            logger: logger)
        let keeping = Task { await keeper.run() }
        let watch = Task { await watchWarden() }
        let uses = Task {
            // Seconds, not each call: who was last seen when is for people to read.
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(5))
                let taken = credentials.takeUses()
                if !taken.isEmpty { try? await records.write { try $0.setLastUsed(taken) } }
            }
        }
        let signing = Task { [settings] in
            while !Task.isCancelled {
                await checkpoints.write()
                try? await Task.sleep(for: .seconds(settings.auditCheckpointSeconds))
            }
        }
        let checking = Task {
            while !Task.isCancelled {
                await checkAudit(audit, checkpoints.fingerprint)
                try? await Task.sleep(for: .seconds(6 * 3600))
            }
        }
        let expiry = Task {
            while !Task.isCancelled {
                logs.expire { catalog.function($0)?.policy.logRetentionInDays }
                await destroyFormerSecrets(records, loader)
                for function in (try? await records.read({ try $0.functions() })) ?? [] { try? await deploy.collect(function.id) }
                await removeUnused(artifacts, deploy)
                await artifacts.moveToBucket()
                await keeper.expire()
                try? await Task.sleep(for: .seconds(3600))
            }
        }
        let rescanning = Task { [logger] in
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(86_400))
                guard !Task.isCancelled else { return }
                do { try await rescan() } catch {
                    logger.error("live functions could not be held against the advisories", metadata: ["error": "\(error)"])
                }
            }
        }
        var ticking: Task<Void, Never>?
        do {
            try await audit.append(AuditEvent(.serverStarted, actor: "server", ["version": CasemateVersion.text]))
            await sweep(deploy)
            try await keeper.begin()
            try await scheduler.load()
            ticking = Task { await scheduler.run() }
            try await api.run { apiURL in try await announce(api: apiURL, gateway: gatewayURL, warden: warden) }
        } catch {
            await takeDown(
                warden, gateway, network, [watch, uses, signing, checking, expiry, rescanning, keeping] + [ticking].compactMap { $0 })
            throw error
        }
        await takeDown(
            warden, gateway, network, [watch, uses, signing, checking, expiry, rescanning, keeping] + [ticking].compactMap { $0 })
        await dispatcher.withLock { $0 }?.endAll()
        try? await audit.append(AuditEvent(.serverStopped, actor: "server", [:]))
        await checkpoints.write()
        queue.close()
        await vault.close()
    }

    /// Values that were replaced a day ago are gone for good.
    private func destroyFormerSecrets(_ records: Records, _ loader: CatalogLoader) async {
        let limit = Timestamp.now.advanced(byMilliseconds: -FormerSecret.keptForMilliseconds)
        guard let functions = try? await records.write({ try $0.deleteFormerSecrets(replacedBefore: limit) }), !functions.isEmpty else {
            return
        }
        for function in functions { try? await loader.reloadFormerSecrets(of: function) }
        try? await records.compact()
    }

    /// Archives that no revision came of. A bucket that does not answer is not asked for each of them.
    private func removeUnused(_ artifacts: ArtifactStore, _ deploy: DeployPipeline) async {
        for digest in artifacts.settled {
            guard await deploy.removeUnused(source: digest, if: { artifacts.isSettled(digest) }) else { return }
        }
    }

    private func makeArtifacts(_ folder: String, _ audit: AuditLog, _ aws: CredentialSource, owner: String) throws -> ArtifactStore {
        let tell: @Sendable (ArtifactNotice) -> Void = { [logger] notice in
            switch notice {
            case .quarantined(let digest, let place):
                logger.critical(
                    "an archive is not what its digest says; it was put into quarantine",
                    metadata: ["digest": "\(digest)", "place": "\(place.rawValue)"])
                let details = ["digest": digest, "place": place.rawValue]
                audit.note(AuditEvent(.artifactQuarantined, outcome: .failed, actor: "server", details))
            case .failed(let what, let why): logger.warning("\(what)", metadata: ["reason": "\(why)"])
            }
        }
        guard let place = settings.artifacts else { return try ArtifactStore(folder: folder, tell: tell) }
        let bucket = try ArtifactObjects(place, endpoint: try settings.awsEndpoint.map { try Endpoint($0) }, credentials: aws)
        return try ArtifactStore(
            folder: folder, bucket: bucket, place: bucket.place, owner: owner, cacheInBytes: settings.artifactCacheInBytes, tell: tell)
    }

    private func makeVault(_ records: Records, _ audit: AuditLog, _ folder: String, _ aws: CredentialSource) async throws -> Vault {
        let mayCreate = try await isEmpty(records)
        let vault = try settings.vault(
            folder: folder, mayCreate: mayCreate, isSealed: try await records.read { try $0.isSealed() }, aws: aws)
        vault.onChange { [logger] change in
            switch change {
            case .unavailable(let why):
                logger.error("the key-encryption key can't be had: functions with secrets can't start", metadata: ["reason": "\(why)"])
                audit.note(AuditEvent(.vaultUnavailable, outcome: .failed, actor: "server", ["reason": why]))
            case .recovered:
                logger.notice("the key-encryption key can be had again")
                audit.note(AuditEvent(.vaultRecovered, actor: "server", [:]))
            }
        }
        vault.expect(try await records.read { try $0.countsByKey() }.keys)
        if !mayCreate {
            do { _ = try await vault.activeKey() } catch { logger.error("the vault is not open", metadata: ["reason": "\(error)"]) }
        }
        return vault
    }

    private func checkAudit(_ audit: AuditLog, _ fingerprint: String) async {
        do {
            let findings = try await AuditSelfCheck(folder: audit.folder, fingerprint: fingerprint).findings()
            for finding in findings {
                logger.critical("the audit log is not what was written", metadata: ["finding": "\(finding)"])
                audit.add(AuditEvent(.auditBroken, outcome: .failed, actor: "server", ["finding": finding]))
            }
        } catch {
            logger.error("the audit log could not be looked through", metadata: ["error": "\(error)"])
        }
    }

    private func makeSources(_ aws: CredentialSource, hasAWS: Bool) throws -> SecretSources {
        var sources: [any SecretSource] = []
        if let folder = settings.secretFiles { sources.append(FileSource(folder: folder)) }
        if hasAWS {
            sources.append(
                SecretsManagerSource(
                    defaultRegion: settings.awsRegion.flatMap { Region($0) }, endpoint: try settings.awsEndpoint.map { try Endpoint($0) },
                    credentials: aws))
        }
        if let credentials = try environment.takeCredentials() { sources.append(ServiceCredentialSource(credentials)) }
        return SecretSources(sources)
    }

    private func makeCheckpoints(_ audit: AuditLog, _ signer: CheckpointSigner, _ aws: CredentialSource) throws -> Checkpoints {
        let places = try settings.auditCheckpoints.map { text -> any CheckpointPlace in
            guard text.hasPrefix("s3://"), case .s3(let address) = try AWSAddress(text) else { return CheckpointFile(path: text) }
            return try CheckpointBucket(address, credentials: aws)
        }
        return try Checkpoints(log: audit, signer: signer, places: places) { [logger] place, error in
            logger.error("an audit checkpoint could not be written", metadata: ["place": "\(place)", "error": "\(error)"])
            audit.note(AuditEvent(.auditExportFailed, outcome: .failed, actor: "server", ["place": place]))
        }
    }

    /// A sandbox takes five descriptors here, and one more for each name that it may reach; a shell's soft limit is 1,024.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit) == 0 else { return }
        limit.rlim_cur = min(limit.rlim_max, 1 << 20)
        setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
    }

    private func takeDown(_ warden: WardenClient, _ gateway: Gateway, _ network: EgressNetwork, _ tasks: [Task<Void, Never>]) async {
        for task in tasks { task.cancel() }
        await gateway.stopListening()
        await gateway.stopWorkers(within: .seconds(settings.drainSeconds))
        await warden.closeAndWait()
        if let lifeline = environment.lifeline { close(lifeline) }
        if let pid = environment.wardenPID {
            var status: Int32 = 0
            cl_wait_pid(pid, 0, &status)
        }
        await gateway.shutDown()
        await network.shutDown()
        logger.info("stopped")
    }

    /// What a crash has left behind.
    private func sweep(_ deploy: DeployPipeline) async {
        for attempt in 1...20 {
            do { return try await deploy.sweep() } catch {
                // The warden begins at the same time.
                if attempt == 20 { logger.warning("bundles that nothing uses could not be removed", metadata: ["error": "\(error)"]) }
                try? await Task.sleep(for: .milliseconds(50))
            }
        }
    }

    /// Keys are made only with the database: a key that went missing later must not be replaced silently.
    private func isEmpty(_ records: Records) async throws -> Bool { try await records.read { try $0.functions().isEmpty } }

    private func watchWarden() async {
        guard let pid = environment.wardenPID else { return }
        while !Task.isCancelled {
            var status: Int32 = 0
            if cl_wait_pid(pid, WNOHANG, &status) != 0 {
                if Task.isCancelled { return }
                logger.critical("the warden ended; stopping", metadata: ["status": "\(status)"])
                kill(getpid(), SIGTERM)
                return
            }
            try? await Task.sleep(for: .milliseconds(500))
        }
    }

    private func announce(api: String, gateway: String, warden: WardenClient) async throws {
        if let fd = environment.clientConfiguration {
            try Files.writeAll(fd, Array("url: \(api)\n".utf8), naming: "the command line's configuration")
            close(fd)
        }
        for _ in 0..<100 where !warden.isConnected { try await Task.sleep(for: .milliseconds(20)) }
        logger.info("started", metadata: ["api": "\(api)", "gateway": "\(gateway)", "version": "\(CasemateVersion.text)"])
        var text = "Casemate \(CasemateVersion.text) is up.\n  API      \(api)\n  gateway  \(gateway)\n"
        if environment.clientConfiguration == nil, !environment.adminKeyPath.isEmpty {
            text += "  to use it from this shell:  export CASEMATE_URL=\(api) CASEMATE_KEY=$(cat \(environment.adminKeyPath))\n"
        }
        FileHandle.standardOutput.write(Data(text.utf8))
    }

    private func tlsContext() throws -> (context: NIOSSLContext, configuration: TLSConfiguration)? {
        guard let pem = try Self.pem(environment.tls, "the TLS certificate") else { return nil }
        let chain = try NIOSSLCertificate.fromPEMBytes(pem).map { NIOSSLCertificateSource.certificate($0) }
        let key = try NIOSSLPrivateKey(bytes: pem, format: .pem)
        var configuration = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        return (try NIOSSLContext(configuration: configuration), configuration)
    }

    /// What `up` has read for us, and put into a memory file.
    private static func pem(_ fd: Int32?, _ what: String) throws -> [UInt8]? {
        guard let fd else { return nil }
        defer { close(fd) }
        lseek(fd, 0, SEEK_SET)
        return try Files.read(fd, limit: 1 << 20, naming: what)
    }

    private static func bytes(hex: String) -> [UInt8]? {
        let digits = Array(hex.utf8)
        guard digits.count == 64 else { return nil }
        return stride(from: 0, to: 64, by: 2).compactMap { UInt8(String(decoding: digits[$0..<($0 + 2)], as: UTF8.self), radix: 16) }
    }
}
