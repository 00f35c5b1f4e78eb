import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CasemateWire
import Logging
import Synchronization

/// The journey of one deployment: Parse → Plan → Fetch → Build → Scan → Sign → Publish → Approve → Activate.
///
/// Each stage takes what the stage before it made. Until Activate the old revision serves; whatever fails before leaves it so. A promotion
/// takes the same way, with a bundle that is there in the place of one that is built.
public final class DeployPipeline: Sendable {
    private let opener: StoredSecrets
    private let plan: Plan
    private let fetch: Fetch
    private let build: Build
    private let scan: Scan
    private let sign: Sign
    private let publish: Publish
    private let approve: Approve
    private let activate: Activate
    private let promotion: Promotion
    let records: Records
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
                InputSchemaCheck(),
                ManifestRisksCheck(),
                SourceCheck(
                    records: records, secrets: NamespaceSecrets(records: records, opener: opener), sandboxes: sandboxes,
                    policies: policies),
                AllowedPackagesCheck(),
            ],
            running: [
                HandlerLoadsCheck(records: records, opener: opener, network: network, policies: policies),
                UserChecksCheck(network: network),
            ])
        sign = Sign(records: records, signer: signer, opener: opener)
        publish = Publish(records: records)
        approve = Approve(records: records, signer: signer)
        activate = Activate(records: records, changed: changed)
        promotion = Promotion(records: records, signer: signer)
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
        if let stray = request.signatures.keys.filter({ !labels.contains($0) }).min() {
            throw Problem(.invalidRequest, "a signature was sent for \(stray), which the manifest does not have")
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
        var spec = try await opened(active, of: function)
        let policy = spec.dependencyPolicy.flatMap { DependencyPolicy(rawValue: $0) } ?? .auto
        (spec.grantedEgress, spec.dependencyPolicy) = (nil, nil)
        let label = function.name.function
        let manifest = FunctionManifest(label: label, line: 1, source: nil, sourceLine: 1, spec: spec, dependencyPolicy: policy)
        var request = request
        request.sources = [label: active.sourceDigest]
        return await deploy(manifest, in: function.name.namespace, request: request, warnings: [])
    }

    /// Has another namespace run a revision exactly as it is.
    /// - Parameters:
    ///   - number: nil for the active one.
    ///   - request: its manifest's text and its sources are not read.
    /// - Throws: `.notFound`; `.approvalRequired` for one that nobody but its author approved.
    public func promote(_ function: Function, revision number: Int?, to name: FunctionName, _ request: DeployRequest) async throws
        -> DeployOutcome
    {
        let promoted = try await promotion(function, number)
        var spec = try await opened(promoted.revision, of: function)
        let policy = spec.dependencyPolicy.flatMap { DependencyPolicy(rawValue: $0) } ?? .auto
        (spec.grantedEgress, spec.dependencyPolicy) = (nil, nil)
        let manifest = FunctionManifest(
            label: name.function, line: 1, source: nil, sourceLine: 1, spec: spec, dependencyPolicy: policy)
        var request = request
        request.promoted = promoted
        return await deploy(manifest, in: name.namespace, request: request, warnings: [])
    }

    private func deploy(_ manifest: Manifest, in namespace: NamespaceName, _ request: DeployRequest) async -> [DeployOutcome] {
        var outcomes: [DeployOutcome] = []
        // Several may be made from the same: one that fails takes it from no other.
        let sources = Set(request.sources.values.filter { artifacts.isUploaded($0, by: request.identity) })
        for source in sources { isInFlight(source) }
        for (index, function) in manifest.functions.enumerated() {
            let next = index + 1 < manifest.functions.count ? manifest.functions[index + 1].line : Int.max
            let first = index == 0 ? 0 : function.line
            let warnings = manifest.warnings.filter { (first..<next).contains($0.line ?? 0) }
            outcomes.append(await deploy(function, in: namespace, request: request, warnings: warnings))
        }
        for source in sources { await clearAway(nil, source: source) }
        return outcomes
    }

    private func deploy(_ function: FunctionManifest, in namespace: NamespaceName, request: DeployRequest, warnings: [Diagnostic]) async
        -> DeployOutcome
    {
        let clock = ContinuousClock()
        let (begin, started) = (clock.now, Timestamp.now)
        var source = request.sources[function.label].flatMap { artifacts.isUploaded($0, by: request.identity) ? $0 : nil }
        if let promoted = request.promoted { source = promoted.revision.sourceDigest }
        if let source { isInFlight(source) }
        var outcome = DeployOutcome(
            function: "\(namespace)/\(function.label)", status: .failed, revision: nil, bundleDigest: nil, stage: "plan", problem: nil,
            problemType: nil, diagnostics: warnings, output: nil, egress: nil, milliseconds: 0)
        var built = request.promoted.flatMap { BundleDigest(hex: $0.revision.bundleDigest) }
        if let built { inFlight.withLock { $0[built, default: 0] += 1 } }
        do {
            let permitted = try await plan.permit(function, in: namespace, request: request)
            if function.spec.git != nil, request.promoted == nil { outcome.stage = "fetch" }
            let fetched = try await fetch(permitted, request: request)
            if source == nil, request.upgrades.isEmpty, request.promoted == nil {
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
                outcome.digest = planned.active.map { "sha256:" + RevisionSigner.digest(of: $0) }
            } else if let pending = planned.pendingAgain {
                outcome.wait(for: pending)
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
                if built == nil {
                    inFlight.withLock { $0[bundle.digest, default: 0] += 1 }
                    built = bundle.digest
                }
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
                    let signed = try await sign(
                        scanned, by: DeployAuthor(subject: request.subject, identity: request.identity), since: started)
                    enter("publish")
                    try await plan.stillAllows(planned, request)
                    let published = try await publish(signed)
                    enter("activate")
                    if let approved = approve(published) {
                        let active = try await activate(approved, loadInMilliseconds: scanned.loadInMilliseconds)
                        outcome.status = .deployed
                        outcome.show(active.revision)
                    } else {
                        outcome.wait(for: published.revision)
                    }
                }
            }
            outcome.stage = nil
        } catch {
            describe(error, in: &outcome)
            // Who may not know of the function was told that it is not there, or that a right is missing.
            if outcome.revision == nil, outcome.problemType == Problem.Code.untrustedSignature.type {
                outcome.revision = try? await records.read { transaction in
                    try transaction.function(FunctionName(namespace: namespace, function: function.label))?.activeRevision.flatMap {
                        try transaction.revision($0)?.number
                    }
                }
            }
        }
        await clearAway(built, source: source)
        if let function = try? await records.read({ try $0.function(FunctionName(namespace: namespace, function: function.label)) }) {
            // What is left over is looked at again each hour.
            try? await collect(function.id)
        }
        outcome.milliseconds = Int((clock.now - begin) / .milliseconds(1))
        return outcome
    }

    func opened(_ revision: Revision, of function: Function) async throws -> FunctionSpec {
        try await opener.open(try CanonicalSpec.decode(revision.specBytes), of: function)
    }

    private func isInFlight(_ source: String) { sourcesInFlight.withLock { $0[source, default: 0] += 1 } }

    private func fixed(_ planned: PlannedFunction, _ scanned: ScannedBundle) async throws -> [Diagnostic] {
        guard let active = planned.active else { return [] }
        let before = try await records.read { try $0.liveAdvisories(of: active.id) } ?? active.findings
        let now = Set(scanned.findings.compactMap { $0.finding?.rule })
        return before.filter { $0.finding?.check == "advisories" && !now.contains($0.finding?.rule ?? "") }
    }

    /// Makes a revision of what is active with the grants as they are now, if they differ from those it has; calls see it on return.
    /// - Returns: the new revision, which may have to be approved; nil where nothing had to change.
    public func applyGrants(to function: Function, by author: DeployAuthor) async throws -> Revision? {
        let (active, inForce, pending, granted, policy) = try await records.read { transaction in
            let active = try function.activeRevision.flatMap { try transaction.revision($0) }
            return (
                active, try transaction.grantedEgress(to: active, of: function), try transaction.pendingRevision(of: function.id),
                try transaction.grantedEgress(of: function.name.function, in: function.namespaceId),
                try transaction.policy(of: function.namespaceId).supplyChain
            )
        }
        guard let active else { return nil }
        var spec = try CanonicalSpec.decode(active.specBytes)
        // What was gone back to may name what is not granted to it any more.
        let before = spec.inForce(inForce)
        guard spec.grantedEgress ?? [] != granted || before.grantedEgress ?? [] != granted else { return nil }
        spec.grantedEgress = granted.isEmpty ? nil : granted
        // What was taken back is out of force already; nobody has to agree to that, and to have it again is a change like any other.
        let isLess = Set(granted).isSubset(of: before.grantedEgress ?? [])
        var needed = isLess ? [] : policy.needed(ApprovalKind.kinds(from: before, to: spec, isLockChanged: false))
        // It was not in what was promoted.
        if !isLess, policy.production, needed.isEmpty { needed = [.egress] }
        if let pending, pending.base == active.id, pending.specBytes == (try CanonicalSpec.encode(spec)) { return pending }
        let signed = try await sign(
            active, of: function, spec: spec, needsApproval: needed, isLess: isLess, policy: policy, by: author)
        let published = try await publish(signed)
        guard let approved = approve(published) else { return published.revision }
        return try await activate(approved, loadInMilliseconds: nil).revision
    }

    /// Gives an approval; what waited for it is live on return.
    /// - Throws: as `Approve` does.
    public func giveApproval(_ order: ApprovalOrder) async throws {
        // Calls that ask for a review may run what was live already.
        guard let approved = try await approve(order) else { return try await activate.changed(order.function.id, nil) }
        _ = try await activate(approved, loadInMilliseconds: nil)
    }

    /// Also one's own.
    /// - Throws: `.conflict` for one that is live, was, or is another than the one that was looked at.
    public func rejectRevision(_ order: ApprovalOrder) async throws {
        try await records.write { transaction in
            let revision = try order.revision(transaction)
            guard RevisionSigner.digest(of: revision) == order.digest else {
                throw Problem(.conflict, "revision \(order.number) of \(order.function.name) is not what you looked at")
            }
            guard revision.state == .pendingApproval else {
                throw Problem(.conflict, "revision \(order.number) of \(order.function.name) does not wait for an approval")
            }
            try transaction.setState(.rejected, of: revision.id)
            transaction.record(
                .approvalRejected, order.function.auditScope,
                ["revision": "\(order.number)", "digest": order.digest, "comment": order.comment])
        }
    }

    /// Has another revision than the active one run a part of the calls.
    /// - Parameter check: may refuse it, within the transaction.
    /// - Throws: `.approvalRequired` for one that nobody let run; `.conflict` for the active one.
    public func split(
        _ split: RevisionSplit, of function: Function, _ check: @Sendable @escaping (Transaction) throws -> Void
    ) async throws {
        try await records.write { [approve] transaction in
            try check(transaction)
            guard let revision = try transaction.revision(split.revision), let now = try transaction.function(function.id) else {
                throw Problem(.notFound, "the revision is gone")
            }
            guard now.activeRevision != revision.id else {
                throw Problem(.conflict, "revision \(revision.number) of \(function.name) runs all its calls; name another")
            }
            _ = try approve.again(revision, of: function)
            try transaction.set(split, of: function.id)
            var details = ["revision": "\(revision.number)", "percent": "\(split.percent)"]
            details["returnAbove"] = split.returnAbove.map { "\($0)" }
            transaction.record(.splitSet, function.auditScope, details)
        }
    }

    /// Makes a revision active that was before, or was approved for it.
    /// - Parameter check: may refuse it, within the transaction.
    /// - Throws: `.approvalRequired` for one that nobody let run.
    public func activate(
        again revision: Revision, of function: Function, _ check: @Sendable @escaping (Transaction) throws -> Void
    ) async throws -> Revision {
        try await activate(again: try approve.again(revision, of: function), of: function, check).revision
    }

    /// Removes what no revision came of: a refused source may hold the very secret that it was refused for.
    private func clearAway(_ bundle: BundleDigest?, source: String?) async {
        if let bundle {
            inFlight.withLock { $0[bundle] = $0[bundle].flatMap { $0 > 1 ? $0 - 1 : nil } }
            await removeUnused(bundle)
        }
        if let source {
            sourcesInFlight.withLock { $0[source] = $0[source].flatMap { $0 > 1 ? $0 - 1 : nil } }
            await removeUnused(source: source)
        }
    }

    private func removeUnused(_ bundle: BundleDigest) async {
        guard inFlight.withLock({ $0[bundle] == nil }), (try? await records.read { try $0.isBundleUsed(bundle.hex) }) == false else {
            return
        }
        _ = try? await warden.order(.removeBundle(bundle))
    }

    /// - Returns: whether that could be done, or did not have to be.
    @discardableResult
    public func removeUnused(source: String, if mayGo: @Sendable @escaping () -> Bool = { true }) async -> Bool {
        @Sendable func isUnused() async -> Bool {
            guard sourcesInFlight.withLock({ $0[source] == nil }), mayGo() else { return false }
            return (try? await records.read { try $0.isSourceUsed(source) }) == false
        }
        guard await isUnused() else { return true }
        return await artifacts.remove(source, if: isUnused)
    }

    /// Removes bundles and sources of revisions that are gone, where no other revision has them.
    public func removeUnused(of revisions: [Revision]) async {
        for digest in Set(revisions.map(\.bundleDigest)) { if let bundle = BundleDigest(hex: digest) { await removeUnused(bundle) } }
        for digest in Set(revisions.map(\.sourceDigest)) { await removeUnused(source: digest) }
    }

    /// Removes bundles that no revision has: of a deployment that a crash has ended. Before the first deployment of this process.
    public func sweep() async throws {
        var after: BundleDigest?
        while true {
            guard case .bundles(let page) = try await warden.order(.listBundles(after: after)).0, let last = page.last else { return }
            for bundle in page { await removeUnused(bundle) }
            after = last
        }
    }

    /// Deletes the revisions of a function that are older than those that its namespace keeps. Never one that runs, is pinned, or waits.
    public func collect(_ id: FunctionId) async throws {
        // Seldom is there anything to do, and writers wait for each other.
        let mayBeOld = try await records.read { transaction in
            guard let function = try transaction.function(id) else { return false }
            return try transaction.revisionCount(of: id) > transaction.policy(of: function.namespaceId).keepRevisions
        }
        guard mayBeOld else { return }
        let gone = try await records.write { transaction -> [Revision] in
            guard let function = try transaction.function(id) else { return [] }
            let revisions = try transaction.revisions(of: id)
            let kept = try transaction.policy(of: function.namespaceId).keepRevisions
            guard revisions.count > kept else { return [] }
            let split = try transaction.split(of: id)?.revision
            // What never ran pushes out nothing that did.
            let (ready, others) = (revisions.filter { $0.state == .ready }, revisions.filter { $0.state != .ready })
            let old = (ready.dropFirst(kept) + others.dropFirst(kept)).filter {
                $0.id != function.activeRevision && $0.id != split && !$0.isPinned && $0.state != .pendingApproval
            }
            guard !old.isEmpty else { return [] }
            for revision in old { try transaction.deleteRevision(revision.id) }
            transaction.record(
                AuditEvent(
                    .revisionDeleted, function.auditScope, actor: "server", AuditEvent.listed("revisions", old.map { "\($0.number)" })))
            return Array(old)
        }
        await removeUnused(of: gone)
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
        case let error as KeyProviderError:
            logger.error("a revision could not be signed", metadata: ["function": "\(outcome.function)", "error": "\(error)"])
            set(Problem(.kekUnavailable, "the key that revisions are signed with can't be had now; the server's log says why"))
        case let error as SecretSourceError: set(Problem(.secretUnavailable, "\(error)"))
        case let failure as BuildFailure:
            set(failure.problem)
            outcome.diagnostics.append(
                Self.told(failure.fault, file: failure.fault.file ?? outcome.function, line: failure.fault.line))
            outcome.output = failure.output.isEmpty ? nil : String(failure.output.prefix(16_384))
        case let failure as UserCheckFailure:
            set(failure.problem)
            outcome.diagnostics.append(
                Self.told(
                    failure.fault, file: failure.fault.file ?? failure.manifest,
                    line: failure.fault.file == nil ? failure.line : failure.fault.line))
            outcome.output = failure.output.isEmpty ? nil : failure.output
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
        guard
            fault.code.hasPrefix("check-")
                || ["requirements-refused", "dependencies-failed", "fetch-failed", "schema-unreadable"].contains(fault.code),
            let end = fault.message.firstRange(of: "; ")
        else { return Diagnostic(file: file, line: line, what: fault.message) }
        return Diagnostic(
            file: file, line: line, what: String(fault.message[..<end.lowerBound]), fix: String(fault.message[end.upperBound...]))
    }
}
