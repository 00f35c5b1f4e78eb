import CasemateModel
import CasemateVault

/// What a deployment starts from: a manifest's text, and an uploaded archive for each function's source.
public struct DeployRequest: Sendable {
    /// Overrides the manifest's own, when given.
    public var namespace: NamespaceName?
    public var manifest: String
    /// As the person named it, for messages.
    public var manifestFile: String
    /// SHA-256 of an uploaded zip, per function.
    public var sources: [FunctionLabel: String]
    public var isDryRun: Bool
    /// Who deploys, for the records.
    public var subject: String
    /// Who deploys, by what is never another's: whose uploads these are.
    public var identity: String
    /// What whoever deploys may do, and where, at the time when it is asked.
    public var rights: @Sendable () -> GrantedRights
    /// Packages whose kept versions do not count this time: names, or `*` for all.
    public var upgrades: [String] = []
    /// What whoever deploys signed, per function, armored as `ssh-keygen -Y sign` writes it.
    public var signatures: [FunctionLabel: String] = [:]
    /// What is to run as it is, in the place of a source; set by the pipeline alone.
    var promoted: PromotedRevision?
    /// Hears how far it is.
    public var progress: DeployProgress.Teller?

    /// SHA-256 of the manifest's text, in hexadecimal.
    var manifestDigest: String { HexDigest.sha256(Array(manifest.utf8)) }

    public init(
        namespace: NamespaceName?, manifest: String, manifestFile: String, sources: [FunctionLabel: String], isDryRun: Bool,
        subject: String, identity: String, rights: @Sendable @escaping () -> GrantedRights
    ) {
        self.identity = identity
        self.rights = rights
        self.namespace = namespace
        self.manifest = manifest
        self.manifestFile = manifestFile
        self.sources = sources
        self.isDryRun = isDryRun
        self.subject = subject
    }
}

/// What became of one function of a manifest.
public struct DeployOutcome: Sendable, Codable {
    /// `pendingApproval`: it is stored, and somebody else has to approve it before calls run it.
    public enum Status: String, Sendable, Codable { case deployed, unchanged, planned, failed, pendingApproval }

    public var function: String
    public var status: Status
    /// The active revision after this; the one that waits, where it has to be approved.
    public var revision: Int?
    /// What names that revision with all that it is: whoever approves it names this.
    public var digest: String?
    /// Why somebody else has to approve it; nil where nobody has to.
    public var needsApproval: [ApprovalKind]?
    /// Whose signature it has; nil for nobody's.
    public var signedBy: DeploymentSigner?
    public var bundleDigest: String?
    /// `parse`, `plan`, `fetch`, `build`, `scan`, `sign`, `publish` or `activate`, when it failed.
    public var stage: String?
    /// What it failed with.
    public var problem: String?
    /// `type` of that problem.
    public var problemType: String?
    public var diagnostics: [Diagnostic]
    /// What the build printed, when it failed.
    public var output: String?
    /// How what it may reach differs from the revision before; nil where it does not.
    public var egress: ListChange<AllowedHost>?
    /// How the list of functions that may call it differs; nil where it does not.
    public var callers: ListChange<FunctionName>?
    /// How those secrets differ that are put in on the way: which, where, for which host.
    public var injected: ListChange<String>?
    /// How the packages differ that it is locked to, as `name version`.
    public var packages: ListChange<String>?
    /// Advisories of the revision before that this one has no more.
    public var fixed: [Diagnostic]?
    /// How what its calls may do for their callers differs.
    public var capabilities: ListChange<Capability>?
    /// How the list of those differs to whom it may prove who it is.
    public var audiences: ListChange<String>?
    /// Where its source was fetched from, with the commit; nil for one that was uploaded.
    public var git: GitSource?
    public var milliseconds: Int
}

extension DeployOutcome {
    mutating func show(_ revision: Revision) {
        self.revision = revision.number
        bundleDigest = revision.bundleDigest
        digest = "sha256:" + RevisionSigner.digest(of: revision)
        signedBy = revision.signer
    }

    /// Somebody else has to approve `revision` first.
    mutating func wait(for revision: Revision) {
        status = .pendingApproval
        needsApproval = revision.needsApproval
        show(revision)
    }
}

/// What a list of a new revision has that the one before had not, and the other way round.
public struct ListChange<Entry: Sendable & Codable & Equatable>: Sendable, Codable, Equatable {
    public var added: [Entry]
    public var removed: [Entry]

    /// Nil where nothing changes.
    public init?(from before: [Entry], to after: [Entry]) {
        added = after.filter { !before.contains($0) }
        removed = before.filter { !after.contains($0) }
        if added.isEmpty, removed.isEmpty { return nil }
    }
}
