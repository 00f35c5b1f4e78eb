/// What kind of security-relevant act a record is of: a noun, a dot and what became of it. Never renamed; docs/audit.md has the table.
public struct AuditKind: Hashable, Sendable, CustomStringConvertible {
    public let text: String
    /// One line for people.
    public let meaning: String

    init(_ text: String, _ meaning: String) {
        self.text = text
        self.meaning = meaning
    }

    /// One of `all`.
    public init?(_ text: some StringProtocol) {
        guard let known = Self.all.first(where: { $0.text == text }) else { return nil }
        self = known
    }

    public static func == (left: Self, right: Self) -> Bool { left.text == right.text }
    public func hash(into hasher: inout Hasher) { hasher.combine(text) }
    public var description: String { text }
}

extension AuditKind {
    public static let serverStarted = Self("server.started", "the server started")
    public static let serverStopped = Self("server.stopped", "the server stopped as it was told to")
    public static let auditBegun = Self("audit.begun", "the first record of a log: its chain's id and the key of its checkpoints")
    public static let auditBroken = Self("audit.broken", "the log is not what was written: a record was changed, removed or added")
    public static let auditSuppressed = Self("audit.suppressed", "so many alike came at once that only their number is kept")
    public static let auditExportFailed = Self("audit.export-failed", "a checkpoint could not be written to its second place")

    public static let authFailed = Self("auth.failed", "a credential was shown that is none")
    public static let authLimited = Self("auth.limited", "so many wrong credentials came from one place that it has to wait")
    public static let requestRefused = Self("request.refused", "somebody asked the API for what they may not do")
    public static let callRefused = Self("call.refused", "somebody called a function that they may not call")
    public static let callMade = Self("call.made", "a function was called; kept where the namespace's policy asks for it")

    public static let callDead = Self("call.dead", "an asynchronous call was tried as often, or for as long, as it may be: a dead letter")
    public static let callCancelled = Self("call.cancelled", "somebody cancelled an asynchronous call")
    public static let callRedriven = Self("call.redriven", "somebody had an asynchronous call that was in vain made once more")
    public static let callResultRead = Self("call.result-read", "somebody read what an asynchronous call of somebody else's answered")
    public static let scheduleCreated = Self("schedule.created", "a function got a schedule")
    public static let scheduleDeleted = Self("schedule.deleted", "a schedule was deleted")
    public static let schedulePaused = Self("schedule.paused", "a schedule was told to make no calls")
    public static let scheduleResumed = Self("schedule.resumed", "a schedule was told to go on")
    public static let scheduleRun = Self("schedule.run", "somebody had a schedule make its call now")
    public static let scheduleMissed = Self("schedule.missed", "a schedule's times passed while the server was down, or its clock was set")

    public static let secretSet = Self("secret.set", "a secret got a new value")
    public static let secretDeleted = Self("secret.deleted", "a secret was deleted")
    public static let secretRolledBack = Self("secret.rolled-back", "a secret got an earlier value again")
    public static let secretVerified = Self("secret.verified", "somebody asked whether a secret has a value that they know")
    public static let secretUsed = Self("secret.used", "secrets were opened for a function's instance")
    public static let secretUnavailable = Self("secret.unavailable", "a function could not start, because its secrets could not be had")
    public static let secretRedacted = Self("secret.redacted", "a secret's value was taken out of what a function printed or answered")
    public static let secretBlocked = Self("secret.blocked", "an answer that held a secret's value was not sent")
    public static let secretAllowed = Self("secret.allowed", "an answer that holds a secret's value was sent: its function may")

    public static let vaultRotated = Self("vault.rotated", "all data keys were wrapped anew, and what wrapped them before was destroyed")
    public static let vaultRotationStarted = Self("vault.rotation-started", "a new key-encryption key was made; data keys are wrapped anew")
    public static let vaultSealed = Self("vault.sealed", "the vault was sealed: nothing is opened until it is unsealed")
    public static let vaultUnsealed = Self("vault.unsealed", "the vault was unsealed")
    public static let vaultUnavailable = Self("vault.unavailable", "the key-encryption key can't be had")
    public static let vaultRecovered = Self("vault.recovered", "the key-encryption key can be had again")

    public static let sourceUploaded = Self("source.uploaded", "a function's source was uploaded")
    public static let sourceFetched = Self("source.fetched", "a function's source was fetched from a repository")
    public static let sourceRead = Self("source.read", "a function's source was downloaded")
    public static let artifactQuarantined = Self(
        "artifact.quarantined", "an archive of a source is not what its digest says, and was set aside")
    public static let logsRead = Self("logs.read", "a function's log was read")
    public static let functionDeployed = Self("function.deployed", "a revision of a function was made active")
    public static let deployRefused = Self("function.deploy-refused", "a deployment was refused")
    public static let functionRolledBack = Self("function.rolled-back", "an earlier revision of a function was made active")
    public static let functionDeleted = Self("function.deleted", "a function was deleted, and its data key with it")
    public static let revisionTampered = Self("function.tampered", "a revision or its bundle is not what was signed")

    public static let approvalRequested = Self("approval.requested", "a revision waits until somebody else than its author approves it")
    public static let approvalGiven = Self("approval.given", "somebody approved a revision")
    public static let approvalRefused = Self("approval.refused", "somebody tried to approve what is their own")
    public static let approvalRejected = Self("approval.rejected", "somebody rejected a revision")
    public static let approvalSuperseded = Self(
        "approval.superseded", "a revision waits for an approval no more: a newer one takes its place")
    public static let functionPromoted = Self("function.promoted", "a revision of another namespace was promoted to this one")
    public static let revisionPinned = Self("revision.pinned", "a revision is kept, however old")
    public static let revisionUnpinned = Self("revision.unpinned", "a revision is not kept for good any more")
    public static let revisionDeleted = Self("revision.deleted", "revisions older than those that are kept were deleted")
    public static let splitSet = Self("split.set", "a part of a function's calls runs another revision")
    public static let splitEnded = Self("split.ended", "the active revision runs all calls of a function again")
    public static let splitReturned = Self("split.returned", "too many calls of a split's revision failed: the active one runs all again")

    public static let functionDisabled = Self("function.disabled", "no call of a function runs any more")
    public static let functionEnabled = Self("function.enabled", "calls of a function run again")
    public static let functionVulnerable = Self("function.vulnerable", "an advisory has come up for what a live function runs")
    public static let findingWaived = Self("gate.waived", "somebody lets a finding of the gate pass, for a time")
    public static let waiverRemoved = Self("gate.waiver-removed", "a finding of the gate is not let pass any more")
    public static let advisoriesImported = Self("advisories.imported", "the advisories that bundles are held against were replaced")

    public static let namespaceCreated = Self("namespace.created", "a namespace was made")
    public static let namespaceDeleted = Self("namespace.deleted", "a namespace was deleted")
    public static let policyChanged = Self("policy.changed", "a namespace's policy was changed")
    public static let egressAllowed = Self("egress.allowed", "a function was allowed to reach a host")
    public static let egressRevoked = Self("egress.revoked", "a function may not reach a host any more")
    public static let egressDenied = Self("egress.denied", "a function tried to reach what it may not")

    public static let sandboxKilled = Self("sandbox.killed", "a sandbox ended before its function had answered")
    public static let sandboxAttempted = Self("sandbox.attempted", "a function tried a system call that its sandbox does not allow")

    public static let tokenCreated = Self("token.created", "a function token was made")
    public static let tokenRevoked = Self("token.revoked", "a function token was revoked")
    public static let tokenExchanged = Self("token.exchanged", "a credential was exchanged for a token of ten minutes")
    public static let tokenIssued = Self("token.issued", "a service account got an access token for its client secret")
    public static let nonceCreated = Self("session.prepared", "a nonce was made with which one call acts for somebody")
    public static let accountCreated = Self("service-account.created", "a service account was made")
    public static let accountDeleted = Self("service-account.deleted", "a service account was deleted")
    public static let credentialCreated = Self("credential.created", "a service account got a key, or a client secret anew")
    public static let credentialRevoked = Self("credential.revoked", "a service account's key was revoked")
    public static let federationCreated = Self("federation.created", "a service account trusts an issuer's tokens")
    public static let federationDeleted = Self("federation.deleted", "a service account does not trust an issuer's tokens any more")
    public static let grantCreated = Self("grant.created", "somebody was granted a right or a role")
    public static let grantDeleted = Self("grant.deleted", "a right or a role was taken from somebody")
    public static let issuerCreated = Self("issuer.created", "an identity provider is trusted")
    public static let issuerDeleted = Self("issuer.deleted", "an identity provider is not trusted any more")
    public static let signedIn = Self("sign-in.created", "somebody signed in")
    public static let signedOut = Self("sign-in.ended", "a sign-in was ended")
    public static let consentGiven = Self("consent.given", "somebody agreed that a revision acts for them")
    public static let consentWithdrawn = Self("consent.withdrawn", "somebody withdrew what they had agreed to")

    public static let alertCreated = Self("alert.created", "events are sent to an address")
    public static let alertDeleted = Self("alert.deleted", "events are not sent to an address any more")
    public static let alertFailed = Self("alert.failed", "an address did not take an event")
    public static let backupMade = Self("backup.made", "a backup was made")
    public static let backupRestored = Self("backup.restored", "the server's data were restored from a backup")

    /// Every kind, for docs, alerts and tests.
    public static let all: [AuditKind] = [
        serverStarted, serverStopped, auditBegun, auditBroken, auditSuppressed, auditExportFailed,
        authFailed, authLimited, requestRefused, callRefused, callMade, callDead, callCancelled, callRedriven, callResultRead,
        scheduleCreated, scheduleDeleted, schedulePaused, scheduleResumed, scheduleRun, scheduleMissed,
        secretSet, secretDeleted, secretRolledBack, secretVerified, secretUsed, secretUnavailable, secretRedacted, secretBlocked,
        secretAllowed,
        vaultRotationStarted, vaultRotated, vaultSealed, vaultUnsealed, vaultUnavailable, vaultRecovered,
        sourceUploaded, sourceFetched, sourceRead, artifactQuarantined, logsRead, functionDeployed, deployRefused, functionRolledBack,
        functionDeleted,
        revisionTampered,
        approvalRequested, approvalGiven, approvalRefused, approvalRejected, approvalSuperseded, functionPromoted, revisionPinned,
        revisionUnpinned,
        revisionDeleted, splitSet, splitEnded, splitReturned,
        functionDisabled, functionEnabled, functionVulnerable, findingWaived, waiverRemoved, advisoriesImported,
        namespaceCreated, namespaceDeleted, policyChanged, egressAllowed, egressRevoked, egressDenied, sandboxKilled, sandboxAttempted,
        tokenCreated, tokenRevoked, tokenExchanged, tokenIssued, nonceCreated, accountCreated, accountDeleted, credentialCreated,
        credentialRevoked,
        federationCreated, federationDeleted, grantCreated, grantDeleted, issuerCreated, issuerDeleted, signedIn, signedOut,
        consentGiven, consentWithdrawn, alertCreated, alertDeleted, alertFailed, backupMade,
        backupRestored,
    ]
}
