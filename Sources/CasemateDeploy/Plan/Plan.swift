import CasemateModel
import CasemateStore
import CasemateVault
import Foundation

/// One function's deployment, decided: what it will be made from, and what is there already. Made only by `Plan`.
public struct PlannedFunction: Sendable {
    public let manifest: FunctionManifest
    public let namespace: Namespace
    public let name: FunctionName
    /// Nil for a function that does not exist yet.
    public let existing: Function?
    public let active: Revision?
    public let sourceDigest: String
    public let warnings: [Diagnostic]
    /// As the person named it, for findings.
    public let manifestFile: String
    /// Whether something of the active revision was let pass that is not let pass any more.
    private let hasLostWaiver: Bool
    /// Packages whose kept versions do not count: names, or `*`.
    public let upgrades: [String]
    /// The namespace's, where that is the stricter one.
    public let dependencyPolicy: DependencyPolicy
    /// What getting the source has found.
    let findings: [Diagnostic]
    /// Nil where whoever deploys signed nothing.
    let signature: DeploymentSignature?
    /// What runs as it is; nil where it is built.
    let promoted: PromotedRevision?
    /// Nil where no revision waits for an approval.
    public let pending: Revision?
    /// Of the manifest's text, SHA-256; nil where there is none.
    let manifestDigest: String?
    let supplyChain: SupplyChainPolicy
    let packages: GatePolicy.Packages

    fileprivate init(_ permitted: PermittedFunction, _ source: FetchedSource, _ request: DeployRequest) {
        let (active, policy) = (permitted.active, permitted.policy)
        let waived = Set(permitted.waivers.filter { $0.isInForce(at: .now) }.map(\.finding))
        hasLostWaiver = (active?.findings ?? []).contains { $0.finding.map { $0.waiver != nil && !waived.contains($0.id) } ?? false }
        upgrades = request.upgrades
        promoted = request.promoted
        manifestDigest = request.manifest.isEmpty ? nil : request.manifestDigest
        signature = permitted.signature
        pending = permitted.pending
        pendingSpec = permitted.pendingSpec
        supplyChain = policy.supplyChain
        packages = policy.gate.packages
        manifestFile = permitted.manifestFile
        // What is promoted was locked as it was.
        let isStrict = policy.gate.dependencies == .strict && request.promoted == nil
        dependencyPolicy = isStrict ? .strict : permitted.manifest.dependencyPolicy
        var manifest = permitted.manifest
        manifest.spec.grantedEgress = permitted.granted.isEmpty ? nil : permitted.granted
        manifest.spec.git = source.git
        manifest.spec.dependencyPolicy = dependencyPolicy == .strict ? DependencyPolicy.strict.rawValue : nil
        self.manifest = manifest
        namespace = permitted.namespace
        name = permitted.name
        activeSpec = permitted.activeSpec
        existing = permitted.existing
        self.active = active
        sourceDigest = source.digest
        warnings = permitted.warnings
        findings = source.findings
    }

    /// Nil where it may reach what the active revision may.
    public var egressChange: ListChange<AllowedHost>? {
        let granted = Set(manifest.spec.grantedEgress ?? [])
        return ListChange(from: activeSpec?.reachable(granted: granted) ?? [], to: manifest.spec.reachable(granted: granted))
    }

    /// Nil where those may call it that may call the active revision.
    public var callersChange: ListChange<FunctionName>? {
        ListChange(from: activeSpec?.callers ?? [], to: manifest.spec.callers ?? [])
    }

    /// Nil where its calls may do what those of the active revision may.
    public var capabilitiesChange: ListChange<Capability>? {
        ListChange(from: activeSpec?.capabilities ?? [], to: manifest.spec.capabilities ?? [])
    }

    /// Nil where it may say who it is to those to whom the active revision may.
    public var audiencesChange: ListChange<String>? {
        ListChange(from: activeSpec?.audiences ?? [], to: manifest.spec.audiences ?? [])
    }

    /// Nil where the same secrets are put in at the same places.
    public var injectedChange: ListChange<String>? {
        ListChange(from: (activeSpec?.injected ?? []).map(\.description), to: (manifest.spec.injected ?? []).map(\.description))
    }

    private let activeSpec: FunctionSpec?
    private let pendingSpec: FunctionSpec?

    /// Whether the active revision was made from exactly this source and manifest.
    public var isUnchanged: Bool { isAsWanted(active, activeSpec) }

    /// What waits for an approval already, where it was made from the same, and would have to wait again; else nil.
    var pendingAgain: Revision? {
        guard let pending, let pendingSpec, pending.base == active?.id, isAsWanted(pending, pendingSpec),
            needsApproval(pendingSpec, lock: pending.lock) == pending.needsApproval
        else { return nil }
        return pending
    }

    private func isAsWanted(_ revision: Revision?, _ spec: FunctionSpec?) -> Bool {
        guard upgrades.isEmpty, !hasLostWaiver, let revision, let spec, revision.sourceDigest == sourceDigest,
            signature == nil || revision.signer == signature?.signer,
            promoted == nil || revision.bundleDigest == promoted?.revision.bundleDigest,
            supplyChain.refusal(of: revision, isReviewed: true) == nil
        else { return false }
        var wanted = manifest.spec
        // A recognised signature was written into the spec by the deploy.
        wanted.signature = wanted.signature ?? spec.signature
        // As were the texts of files, which are the same in the same source.
        wanted.inputSchema = wanted.inputSchema?.filled(from: spec.inputSchema)
        return spec == wanted
    }

    /// Whose signature counts for what is promoted, by the name that it has here; nil where nobody's does.
    var promotedSigner: DeploymentSigner? {
        guard let key = promoted?.revision.signer?.key, let listed = supplyChain.signers.first(where: { $0.fingerprint == key }) else {
            return nil
        }
        return DeploymentSigner(name: listed.name, key: key)
    }

    /// Why somebody else has to approve it before it runs.
    /// - Parameters:
    ///   - spec: as it will be signed, opened.
    ///   - lock: of what was built.
    func needsApproval(_ spec: FunctionSpec, lock: String?) -> [ApprovalKind] {
        if countsApprovals {
            // What was granted here was not in what was approved there.
            return Set(spec.grantedEgress ?? []).isSubset(of: activeSpec?.grantedEgress ?? []) ? [] : [.egress]
        }
        return supplyChain.needed(
            ApprovalKind.kinds(from: activeSpec, to: spec, isLockChanged: Lock.isOther(active?.lock, lock)))
    }

    /// What is promoted to production was approved where it comes from: that is what it is for. Elsewhere, and for another function, its
    /// approval says nothing.
    var countsApprovals: Bool {
        supplyChain.production && promoted.map { $0.function.name.function == name.function } ?? false
    }
}

/// One function's deployment that whoever asks for it may make. Made only by `Plan`.
struct PermittedFunction: Sendable {
    let manifest: FunctionManifest
    let namespace: Namespace
    let name: FunctionName
    /// Nil for a function that does not exist yet.
    let existing: Function?
    let active: Revision?
    /// What the active revision was made from, opened.
    fileprivate let activeSpec: FunctionSpec?
    let manifestFile: String
    fileprivate let signature: DeploymentSignature?
    fileprivate let pending: Revision?
    fileprivate let pendingSpec: FunctionSpec?
    fileprivate let granted: [AllowedHost]
    fileprivate let policy: NamespacePolicy
    fileprivate let waivers: [Waiver]
    fileprivate let warnings: [Diagnostic]
}

/// Compares a manifest with what is stored.
struct Plan {
    let records: Records
    let artifacts: ArtifactStore
    let sources: SecretSources
    let opener: StoredSecrets

    func callAsFunction(_ permitted: PermittedFunction, from source: FetchedSource, request: DeployRequest) -> PlannedFunction {
        PlannedFunction(permitted, source, request)
    }

    /// Before anything is done for it.
    /// - Throws: `.notFound` for a namespace that does not exist, `.forbidden` for what whoever deploys has no right to or the namespace's
    ///   functions may not have.
    func permit(_ function: FunctionManifest, in namespaceName: NamespaceName, request: DeployRequest) async throws -> PermittedFunction {
        let name = FunctionName(namespace: namespaceName, function: function.label)
        let (namespace, existing, active, inForce, pending, secrets, granted, policy, waivers) = try await records.read { transaction in
            let existing = try transaction.function(name)
            let namespace = try transaction.namespace(namespaceName)
            let active = try existing?.activeRevision.flatMap { try transaction.revision($0) }
            return (
                namespace, existing, active, try existing.map { try transaction.grantedEgress(to: active, of: $0) } ?? [],
                try existing.flatMap { try transaction.pendingRevision(of: $0.id) },
                try existing.map { try transaction.secrets(of: $0.id).map(\.name) } ?? [],
                try namespace.map { try transaction.grantedEgress(of: name.function, in: $0.id) } ?? [],
                try namespace.map { try transaction.policy(of: $0.id) } ?? NamespacePolicy(),
                try namespace.map { try transaction.waivers(in: $0.id, of: name.function) } ?? []
            )
        }
        guard let namespace, !request.rights().within(.namespace(namespace.id)).isEmpty else {
            throw Problem(.notFound, "namespace \(namespaceName) does not exist; make it: casemate namespace create \(namespaceName)")
        }
        try Self.authorize(function, name, request.rights(), on: existing?.resource ?? .namespace(namespace.id))
        let signature = try Self.signature(of: function, name, policy.supplyChain, request)
        let references = function.spec.references ?? []
        try check(references, in: namespaceName, policy)
        try Self.check(function.spec.packageSources, in: namespaceName, policy)
        // What is live was fetched already.
        if request.upgrades.isEmpty { try Self.check(function.spec.git, in: namespaceName, policy) }
        if let promoted = request.promoted, policy.gate.dependencies == .strict, promoted.revision.lock != nil,
            function.dependencyPolicy != .strict
        {
            throw Problem(
                .forbidden, "\(namespaceName) takes packages that the source locks itself, and those of \(promoted.function.name) were not")
        }
        let elsewhere = Set(references.map(\.name))
        let missing = function.spec.secrets.filter { !secrets.contains($0) && !elsewhere.contains($0) }.map { secret in
            Diagnostic(
                .warning, file: request.manifestFile, line: function.line, what: "secret \(secret) of \(name) has no value yet",
                fix: "set it: casemate secret set \(name) \(secret)")
        }
        return PermittedFunction(
            manifest: function, namespace: namespace, name: name, existing: existing, active: active,
            activeSpec: try await spec(of: existing, active)?.inForce(inForce), manifestFile: request.manifestFile, signature: signature,
            pending: pending, pendingSpec: try await spec(of: existing, pending),
            granted: granted, policy: policy, waivers: waivers, warnings: missing)
    }

    /// - Throws: `.untrustedSignature`; `.promotionRequired`.
    private static func signature(
        of function: FunctionManifest, _ name: FunctionName, _ policy: SupplyChainPolicy, _ request: DeployRequest
    ) throws(Problem) -> DeploymentSignature? {
        if let promoted = request.promoted {
            if let allowed = policy.promoteFrom, !allowed.contains(promoted.function.name.namespace) {
                throw Problem(
                    .forbidden,
                    "\(name.namespace) takes nothing from \(promoted.function.name.namespace); its policy lists from where: supplyChain.promoteFrom"
                )
            }
            guard policy.requireSignature else { return nil }
            // What was signed names its function.
            guard promoted.function.name.function == name.function else {
                throw Problem(
                    .untrustedSignature, "what was signed is \(promoted.function.name.function), not \(name.function)", reason: "statement")
            }
            guard let why = policy.refusal(of: promoted.revision.signer, at: promoted.revision.signedAt) else { return nil }
            throw Problem(.untrustedSignature, "\(promoted.function.name) can't be promoted to \(name.namespace): \(why)", reason: "signer")
        }
        guard !policy.production else {
            throw Problem(
                .promotionRequired,
                "\(name.namespace) is a production namespace: deploy elsewhere, have it approved, then casemate promote NAMESPACE/\(name.function) --to \(name.namespace)"
            )
        }
        guard request.upgrades.isEmpty else {
            guard policy.requireSignature else { return nil }
            throw Problem(
                .untrustedSignature,
                "\(name.namespace) takes signed deployments only: casemate deps upgrade PATH, then deploy that with a signature",
                reason: "missing")
        }
        let source: DeploymentStatement.Source? =
            if let git = function.spec.git { git.isPinned ? .commit(url: git.url, id: git.ref) : nil } else {
                request.sources[function.label].map { .archive($0) }
            }
        return try DeploymentSignature.check(
            request.signatures[function.label],
            over: source.map { DeploymentStatement(function: name, manifestDigest: request.manifestDigest, source: $0) }, of: name,
            by: policy, at: .now)
    }

    private func spec(of function: Function?, _ revision: Revision?) async throws -> FunctionSpec? {
        guard let function, let revision, let spec = try? CanonicalSpec.decode(revision.specBytes) else { return nil }
        return try await opener.open(spec, of: function)
    }

    /// - Throws: `.forbidden` for a value that the namespace's functions may not have, `.unavailable` for a place that the server does not
    ///   know.
    private func check(_ references: [SecretReference], in namespace: NamespaceName, _ policy: NamespacePolicy) throws(Problem) {
        for reference in references {
            guard policy.mayUse(reference.from) else {
                throw Problem(
                    .forbidden,
                    "functions of \(namespace) may not have \(reference.from.place); whoever keeps the server allows it in the namespace's policy: secretSources"
                )
            }
            guard sources.has(reference.from.scheme) else {
                throw Problem(
                    .unavailable, "this server is not set up for \(reference.from): it needs \(reference.from.setUp) (docs/secrets.md)")
            }
        }
    }

    /// - Throws: `.forbidden` for an index that the namespace's functions may not use.
    private static func check(_ sources: PackageSources?, in namespace: NamespaceName, _ policy: NamespacePolicy) throws(Problem) {
        guard let index = sources?.indexes.values.map(\.url).sorted().first(where: { !policy.gate.indexes.contains($0) }) else { return }
        throw Problem(
            .forbidden,
            "functions of \(namespace) may not take packages from \(index); whoever may loosen the gate lists it in the namespace's policy: gate.indexes"
        )
    }

    /// - Throws: `.forbidden` for a repository that the namespace's functions may not come from.
    private static func check(_ git: GitSource?, in namespace: NamespaceName, _ policy: NamespacePolicy) throws(Problem) {
        guard let git, !policy.gate.mayFetch(from: git.url) else { return }
        throw Problem(
            .forbidden,
            "functions of \(namespace) may not come from \(git.url); whoever may loosen the gate lists it in the namespace's policy: gate.repositories"
        )
    }

    /// Once more, before what was built comes into force: that may be minutes later.
    func stillAllows(_ planned: PlannedFunction, _ request: DeployRequest) async throws {
        try Self.authorize(
            planned.manifest, planned.name, request.rights(), on: planned.existing?.resource ?? .namespace(planned.namespace.id))
        guard planned.promoted == nil else { return }
        guard try await artifacts.open(planned.sourceDigest) != nil else {
            throw Problem(.conflict, "the source was removed while it was built; deploy again")
        }
    }

    /// - Throws: `.forbidden` naming the first right that is missing.
    private static func authorize(_ function: FunctionManifest, _ name: FunctionName, _ rights: GrantedRights, on resource: Resource)
        throws(Problem)
    {
        func require(_ right: Right, _ what: String) throws(Problem) {
            guard rights.has(right, on: resource) else { throw Problem(.forbidden, "\(what) takes the right \(right.rawValue)") }
        }
        try require(.functionDeploy, "to deploy \(name)")
        if function.spec.access == .public { try require(.functionPublish, "to let anyone call \(name) (access: public)") }
        if function.spec.secretsInResponse == .allow {
            try require(.gateWaive, "to let \(name) answer with its secrets (secretsInResponse: allow)")
        }
        if let address = function.spec.egress?.first(where: { $0.range != nil }) {
            try require(.egressAddress, "to list \(address), an address and not the name that stands for it,")
        }
    }
}

/// A spec's one spelling in bytes: JSON with sorted keys.
public enum CanonicalSpec {
    public static func encode(_ spec: FunctionSpec) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(spec))
    }

    public static func decode(_ bytes: [UInt8]) throws -> FunctionSpec { try JSONDecoder().decode(FunctionSpec.self, from: Data(bytes)) }
}
