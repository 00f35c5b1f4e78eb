import CasemateDeploy
import CasemateModel
import CasemateVault

struct RevisionView: Encodable, Sendable {
    struct ApprovalView: Encodable, Sendable {
        var by: String
        var at: String
        var comment: String
    }

    var number: Int
    var isActive: Bool
    /// `active`, `pendingApproval`, `rejected`, or `superseded` for what calls do not run and may.
    var state: String
    /// What names it with all that it is.
    var digest: String
    var bundleDigest: String
    var sourceDigest: String
    var created: String
    var createdBy: String
    var needsApproval: [ApprovalKind]
    var approvals: [ApprovalView]
    var signedBy: DeploymentSigner?
    /// When that signature was shown: it has to have been valid then.
    var signedAt: String?
    var promotedFrom: RevisionOrigin?
    var isPinned: Bool
    var lock: String?
    var findings: [Diagnostic]

    init(_ revision: Revision, _ approvals: [Approval], isActive: Bool) {
        number = revision.number
        self.isActive = isActive
        state = isActive ? "active" : revision.state == .ready ? "superseded" : revision.state.rawValue
        digest = "sha256:" + RevisionSigner.digest(of: revision)
        bundleDigest = "sha256:" + revision.bundleDigest
        sourceDigest = "sha256:" + revision.sourceDigest
        created = revision.created.rfc3339
        createdBy = revision.createdBy
        needsApproval = revision.needsApproval
        self.approvals = approvals.map { ApprovalView(by: $0.by, at: $0.created.rfc3339, comment: $0.comment) }
        signedBy = revision.signer
        signedAt = revision.signedAt?.rfc3339
        promotedFrom = revision.origin
        isPinned = revision.isPinned
        lock = revision.lock
        findings = revision.findings
    }
}

struct SplitView: Encodable, Sendable {
    /// The number of the revision that is not the active one.
    var revision: Int
    var percent: Int
    var returnAbove: Int?
    var created: String
    var createdBy: String

    init(_ split: RevisionSplit, _ revision: Revision) {
        self.revision = revision.number
        percent = split.percent
        returnAbove = split.returnAbove
        created = split.created.rfc3339
        createdBy = split.createdBy
    }
}

struct PendingList: Encodable, Sendable { var pending: [PendingView] }

struct PendingView: Encodable, Sendable {
    var function: String
    var revision: Int
    var digest: String
    var author: String
    var created: String
    var needsApproval: [ApprovalKind]
    /// From what is live; nil where that can't be said now, or nothing is live.
    var changes: RevisionDiff?

    init(_ revision: Revision, of function: Function, _ changes: RevisionDiff?) {
        self.changes = changes
        self.function = function.name.description
        self.revision = revision.number
        digest = "sha256:" + RevisionSigner.digest(of: revision)
        author = revision.createdBy
        created = revision.created.rfc3339
        needsApproval = revision.needsApproval
    }
}

struct SigningKeyView: Encodable, Sendable {
    var keyId: String
    /// `ed25519` or `ecdsa-p256-sha256`.
    var algorithm: String
    /// SubjectPublicKeyInfo, PEM.
    var publicKey: String

    init(_ key: VerifyingKey) {
        keyId = key.id
        algorithm = key.algorithm
        publicKey = key.pem
    }
}

/// What whoever deployed a revision put their signature under.
struct StatementView: Encodable, Sendable {
    var statement: String
    /// SSHSIG, armored.
    var signature: String
    var signedBy: DeploymentSigner?
}
