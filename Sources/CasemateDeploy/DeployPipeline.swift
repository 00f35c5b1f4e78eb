import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CasemateWire
import Logging
import Synchronization

/// The journey of one deployment: Parse → Plan → Fetch → Build → Scan → Sign → Publish → Activate.
///
/// Each stage takes what the stage before it made. Until Activate the old revision serves; whatever fails before leaves it so.
public final class DeployPipeline: Sendable {
    private let opener: StoredSecrets
    private let plan: Plan
    private let fetch: Fetch
    private let build: Build
    private let scan: Scan
    private let sign: Sign
    private let publish: Publish
    private let activate: Activate
    private let records: Records
    private let artifacts: ArtifactStore
    private let warden: WardenClient
    private let logger: Logger
    /// Bundles that deployments under way have built: another one that fails must not clear them away.
    private let inFlight: Mutex<[BundleDigest: Int]> = Mutex([:])
    /// Sources likewise; only those that whoever deploys has uploaded.
    private let sourcesInFlight: Mutex<[String: Int]> = Mutex([:])

    /// - Parameter changed: tells the calling side of a new active revision; returns when the next call sees it.
    public init(
        records: Records, audit: AuditLog, artifacts: ArtifactStore, vault: Vault, sources: SecretSources, signer: RevisionSigner,
        network: EgressNetwork,
        index: PackageIndex, sandboxes: GateSandboxes,
        policies: NamespacePolicies, logger: Logger,
        changed: @Sendable @escaping (_ id: FunctionId, _ loadInMilliseconds: Int?) async throws -> Void
    ) {
        let opener = StoredSecrets(vault: vault, sources: sources, audit: audit, records: records)
        plan = Plan(records: records, artifacts: artifacts, sources: sources, opener: opener)
        self.opener = opener
        fetch = Fetch(
            artifacts: artifacts,
            repository: RepositoryFetch(network: network, artifacts: artifacts, opener: opener, records: records, policies: policies))
        build = Build(
            network: network, artifacts: artifacts, index: index, opener: opener, records: records, policies: policies)
        scan = Scan(
            records: records,
            checks: [
                ManifestRisksCheck(),
                SourceCheck(
                    records: records, secrets: NamespaceSecrets(records: records, opener: opener), sandboxes: sandboxes,
                    policies: policies),
            ],
            loading: HandlerLoadsCheck(records: records, opener: opener, network: network, policies: policies))
        sign = Sign(records: records, signer: signer, opener: opener)
        publish = Publish(records: records)
        activate = Activate(records: records, changed: changed)
        self.records = records
        self.artifacts = artifacts
        warden = network.warden
        self.logger = logger
    }

    /// Deploys every function of the manifest, in its order. One that fails keeps no other from being deployed.
    /// - Throws: `.invalidManifest` with every fault, when there is nothing to deploy from.
    public func deploy(_ request: DeployRequest) async throws -> [DeployOutcome] {
        let manifest: Manifest
        do {
            manifest = try ManifestParser.parse(request.manifest, file: request.manifestFile)
        } catch {
            throw Problem(.invalidManifest, "the manifest has \(error.diagnostics.count) fault(s)", diagnostics: error.diagnostics)
        }
        guard let namespace = request.namespace ?? manifest.namespace else {
            throw Problem(.invalidManifest, "no namespace is given; add namespace: NAME to the manifest, or use --namespace")
        }
        let labels = Set(manifest.functions.map(\.label))
        if let stray = request.sources.keys.filter({ !labels.contains($0) }).min() {
            throw Problem(.invalidRequest, "a source was sent for \(stray), which the manifest does not have")
        }
        return await deploy(manifest, in: namespace, request)
    }

    /// Locks the packages of what is live anew, and deploys the same source with them.
    /// - Parameter request: its manifest's text is not read; with `isDryRun` nothing becomes active.
    /// - Throws: `.notFound` for a function that was never deployed; `.invalidRequest` for one without packages.
    public func upgrade(_ function: Function, _ request: DeployRequest) async throws -> DeployOutcome {
        guard let active = try await records.read({ transaction in try function.activeRevision.flatMap { try transaction.revision($0) } })
        else {
            throw Problem(.notFound, "\(function.name) has not been deployed yet")
        }
        guard let lock = active.lock else { throw Problem(.invalidRequest, "\(function.name) has no packages") }
        let known = Set(Lock.packages(lock).compactMap { $0.split(separator: " ").first.flatMap { PackageSources.pattern(String($0)) } })
        if let stranger = request.upgrades.first(where: { $0 != "*" && PackageSources.pattern($0).map(known.contains) != true }) {
            throw Problem(
                .invalidRequest, "\(function.name) has no package \(stranger); it has \(known.sorted().prefix(50).joined(separator: ", "))")
        }
        var spec = try await opener.open(try CanonicalSpec.decode(active.specBytes), of: function)
        let policy = spec.dependencyPolicy.flatMap { DependencyPolicy(rawValue: $0) } ?? .auto
        (spec.grantedEgress, spec.dependencyPolicy) = (nil, nil)
        let label = function.name.function
        let manifest = FunctionManifest(label: label, line: 1, source: nil, sourceLine: 1, spec: spec, dependencyPolicy: policy)
        var request = request
        request.sources = [label: active.sourceDigest]
        return await deploy(manifest, in: function.name.namespace, request: request, warnings: [])
    }

    private func deploy(_ manifest: Manifest, in namespace: NamespaceName, _ request: DeployRequest) async -> [DeployOutcome] {
        var outcomes: [DeployOutcome] = []
        for (index, function) in manifest.functions.enumerated() {
            let next = index + 1 < manifest.functions.count ? manifest.functions[index + 1].line : Int.max
            let first = index == 0 ? 0 : function.line
            let warnings = manifest.warnings.filter { (first..<next).contains($0.line ?? 0) }
            outcomes.append(await deploy(function, in: namespace, request: request, warnings: warnings))
        }
        return outcomes
    }

    private func deploy(_ function: FunctionManifest, in namespace: NamespaceName, request: DeployRequest, warnings: [Diagnostic]) async
        -> DeployOutcome
    {
        let clock = ContinuousClock()
        let begin = clock.now
        var source = request.sources[function.label].flatMap { artifacts.isUploaded($0, by: request.identity) ? $0 : nil }
        if let source { isInFlight(source) }
        var outcome = DeployOutcome(
            function: "\(namespace)/\(function.label)", status: .failed, revision: nil, bundleDigest: nil, stage: "plan", problem: nil,
            problemType: nil, diagnostics: warnings, output: nil, egress: nil, milliseconds: 0)
        var built: BundleDigest?
        do {
            let permitted = try await plan.permit(function, in: namespace, request: request)
            if function.spec.git != nil { outcome.stage = "fetch" }
            let fetched = try await fetch(permitted, request: request)
            if source == nil, request.upgrades.isEmpty {
                source = fetched.digest
                isInFlight(fetched.digest)
            }
            outcome.stage = "plan"
            outcome.git = fetched.git
            let planned = plan(permitted, from: fetched, request: request)
            outcome.diagnostics += planned.warnings
            outcome.revision = planned.active?.number
            outcome.egress = planned.egressChange
            outcome.callers = planned.callersChange
            outcome.injected = planned.injectedChange
            outcome.capabilities = planned.capabilitiesChange
            outcome.audiences = planned.audiencesChange
            if planned.isUnchanged {
                outcome.status = .unchanged
                outcome.bundleDigest = planned.active?.bundleDigest
            } else if request.isDryRun, request.upgrades.isEmpty {
                outcome.status = .planned
                outcome.diagnostics += ManifestRisks.findings(
                    in: planned.manifest.spec, file: planned.manifestFile, lines: function.lines)
            } else {
                func enter(_ stage: String) {
                    outcome.stage = stage
                    request.progress?(.stage(stage, of: planned.name))
                }
                enter("build")
                let bundle = try await build(planned)
                inFlight.withLock { $0[bundle.digest, default: 0] += 1 }
                built = bundle.digest
                enter("scan")
                let scanned = try await scan(bundle, progress: request.progress)
                outcome.diagnostics += scanned.findings
                outcome.packages = Lock.change(from: planned.active?.lock, to: bundle.lock)
                if !request.upgrades.isEmpty {
                    outcome.fixed = try await fixed(planned, scanned)
                }
                if !request.upgrades.isEmpty, outcome.packages == nil {
                    outcome.status = .unchanged
                } else if request.isDryRun {
                    outcome.status = .planned
                } else {
                    enter("sign")
                    let signed = try await sign(scanned, by: request.subject)
                    enter("publish")
                    try plan.stillAllows(planned, request)
                    let published = try await publish(signed)
                    enter("activate")
                    let active = try await activate(published, loadInMilliseconds: scanned.loadInMilliseconds)
                    outcome.status = .deployed
                    outcome.revision = active.revision.number
                    outcome.bundleDigest = active.revision.bundleDigest
                }
            }
            outcome.stage = nil
        } catch {
            describe(error, in: &outcome)
        }
        await clearAway(built, source: source)
        outcome.milliseconds = Int((clock.now - begin) / .milliseconds(1))
        return outcome
    }

    private func isInFlight(_ source: String) { sourcesInFlight.withLock { $0[source, default: 0] += 1 } }

    private func fixed(_ planned: PlannedFunction, _ scanned: ScannedBundle) async throws -> [Diagnostic] {
        guard let active = planned.active else { return [] }
        let before = try await records.read { try $0.liveAdvisories(of: active.id) } ?? active.findings
        let now = Set(scanned.findings.compactMap { $0.finding?.rule })
        return before.filter { $0.finding?.check == "advisories" && !now.contains($0.finding?.rule ?? "") }
    }

    /// Makes a revision of what is active with the grants as they are now, if they differ from those it has; calls see it on return.
    /// - Returns: the new revision's number; nil where nothing had to change.
    public func applyGrants(to function: Function, by subject: String) async throws -> Int? {
        let (active, granted) = try await records.read { transaction in
            (
                try function.activeRevision.flatMap { try transaction.revision($0) },
                try transaction.grantedEgress(of: function.name.function, in: function.namespaceId)
            )
        }
        guard let active else { return nil }
        var spec = try CanonicalSpec.decode(active.specBytes)
        guard spec.grantedEgress ?? [] != granted else { return nil }
        spec.grantedEgress = granted.isEmpty ? nil : granted
        let published = try await publish(try await sign(active, of: function, spec: spec, by: subject))
        return try await activate(published, loadInMilliseconds: nil).revision.number
    }

    /// Removes what no revision came of: a refused source may hold the very secret that it was refused for.
    private func clearAway(_ bundle: BundleDigest?, source: String?) async {
        if let bundle {
            let isLast = inFlight.withLock { inFlight in
                inFlight[bundle, default: 1] -= 1
                guard inFlight[bundle] == 0 else { return false }
                inFlight[bundle] = nil
                return true
            }
            if isLast, (try? await records.read { try $0.isBundleUsed(bundle.hex) }) == false {
                _ = try? await warden.order(.removeBundle(bundle))
            }
        }
        if let source {
            let isLast = sourcesInFlight.withLock { inFlight in
                inFlight[source, default: 1] -= 1
                guard inFlight[source] == 0 else { return false }
                inFlight[source] = nil
                return true
            }
            if isLast, (try? await records.read { try $0.isSourceUsed(source) }) == false { artifacts.remove(source) }
        }
    }

    /// What the author is told; what is the server's own goes to its log under the stage's name.
    private func describe(_ error: any Error, in outcome: inout DeployOutcome) {
        func set(_ problem: Problem) {
            outcome.problem = problem.detail
            outcome.problemType = problem.code.type
            outcome.diagnostics += problem.diagnostics
        }
        switch error {
        case let problem as Problem: set(problem)
        case let error as VaultError: set(error.problem)
        case let error as SecretSourceError: set(Problem(.secretUnavailable, "\(error)"))
        case let failure as BuildFailure:
            set(failure.problem)
            outcome.diagnostics.append(
                Self.told(failure.fault, file: failure.fault.file ?? outcome.function, line: failure.fault.line))
            outcome.output = failure.output.isEmpty ? nil : String(failure.output.prefix(16_384))
        case let failure as FetchFailure:
            set(failure.problem)
            outcome.diagnostics.append(Self.told(failure.fault, file: failure.file, line: failure.line))
        case WardenFailure.refused(.outputRefused, let detail): set(Problem(.buildFailed, "the build's output was refused: \(detail)"))
        case WardenFailure.refused(.unknownProfile, _):
            set(Problem(.unavailable, "the runtime is not installed on the server; casemate runtime install there"))
        case let failure as WardenFailure:
            set(Problem(.unavailable, "the sandbox service is not available; try again (\(failure))"))
        case ShimSession.Failure.ended(let printed):
            set(Problem(.buildFailed, "the sandbox of this stage ended before it was done; it may have gone over its memory limit"))
            outcome.output = printed.isEmpty ? nil : String(decoding: printed.suffix(8192), as: UTF8.self)
        case ShimSession.Failure.protocolFault: set(Problem(.buildFailed, "the build's sandbox sent something that is no answer"))
        default:
            logger.error(
                "deploy failed", metadata: ["function": "\(outcome.function)", "stage": "\(outcome.stage ?? "")", "error": "\(error)"])
            set(Problem(.internalError, "the server could not go on; its log says why"))
        }
    }

    /// A fault is written `what is wrong; what to do`.
    private static func told(_ fault: ShimFault, file: String, line: Int?) -> Diagnostic {
        // Other messages quote what an author wrote.
        guard ["requirements-refused", "dependencies-failed", "fetch-failed"].contains(fault.code),
            let end = fault.message.firstRange(of: "; ")
        else { return Diagnostic(file: file, line: line, what: fault.message) }
        return Diagnostic(
            file: file, line: line, what: String(fault.message[..<end.lowerBound]), fix: String(fault.message[end.upperBound...]))
    }
}
