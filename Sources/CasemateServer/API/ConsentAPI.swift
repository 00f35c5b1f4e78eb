import CasemateDeploy
import CasemateIdentity
import CasemateInvoke
import CasemateModel
import CasemateStore
import CasemateVault
import HTTPTypes

/// What somebody should know before a function acts for them, and that they want it to.
extension APIServices {
    private static var path: String { "/v1/namespaces/{namespace}/functions/{function}" }

    var consentRoutes: [APIRoute] {
        [
            APIRoute(.get, Self.path + "/trust", needs: .right(.functionInvoke)) { request in
                try request.allowQuery([])
                return .json(try await trustSheet(of: try await function(try request.functionName()), for: request.principal))
            },
            APIRoute(.put, Self.path + "/consent", needs: .right(.functionInvoke)) { request in
                let body: NewConsent = try await request.json(limit: 4096)
                guard let seen = RevisionId(body.revisionId) else { throw Problem(.invalidRequest, "a revision's id is a UUID") }
                let function = try await function(try request.functionName())
                let principal = try Self.person(request.principal)
                try await records.write { transaction in
                    guard let revision = try transaction.activeRevision(of: function.id) else { throw Self.undeployed(function) }
                    // What was seen is what is agreed to.
                    guard revision.id == seen else {
                        throw Problem(
                            .conflict, "revision \(revision.number) of \(function.name) runs now: look at that first",
                            reason: "\(revision.number)")
                    }
                    let consent = Consent(identity: principal.identity, revision: revision.id, created: .now)
                    try transaction.insert(consent)
                    transaction.record(.consentGiven, function.auditScope, ["revision": "\(revision.number)"])
                    consents.add(consent)
                }
                return .json(try await trustSheet(of: function, for: principal))
            },
            APIRoute(.delete, Self.path + "/consent", needs: .right(.functionInvoke)) { request in
                let function = try await function(try request.functionName())
                let principal = try Self.person(request.principal)
                try await records.write { transaction in
                    var isGone = false
                    for revision in try transaction.revisions(of: function.id) {
                        isGone = try transaction.deleteConsent(of: principal.identity, to: revision.id) || isGone
                        consents.remove(principal.identity, revision.id)
                    }
                    guard isGone else { throw Problem(.notFound, "you did not agree to \(function.name)") }
                    transaction.record(.consentWithdrawn, function.auditScope)
                }
                return .noContent
            },
        ]
    }

    private static func person(_ principal: Principal) throws(Problem) -> Principal {
        guard principal.isSignedIn else {
            throw Problem(.forbidden, "only somebody who has signed in is asked: casemate login; machines call by what they were granted")
        }
        return principal
    }

    private static func undeployed(_ function: Function) -> Problem {
        Problem(.notFound, "\(function.name) has not been deployed yet")
    }

    /// Who is to agree sees all of it. Others see of it what their rights show them elsewhere.
    private func trustSheet(of function: Function, for principal: Principal) async throws -> TrustSheet {
        let (revision, secrets, approvals) = try await records.read { transaction in
            let revision = try transaction.activeRevision(of: function.id)
            return (
                revision, try transaction.secrets(of: function.id).map(\.name.text),
                try revision.map { try transaction.approvals(of: $0.id) }
            )
        }
        guard let revision else { throw Self.undeployed(function) }
        let approvedBy = (approvals ?? []).filter { signer.isValid($0, of: revision) }.map(\.by)
        let spec = try CanonicalSpec.decode(revision.specBytes)
        // The most that it may ever reach: what was granted and is taken back now can be granted again without a new revision.
        let reachable = spec.reachable(granted: Set(spec.grantedEgress ?? []))
        let rights = principal.rights.on(function.resource)
        let sees = { (right: Right) in principal.isSignedIn || rights.contains(right) }
        return TrustSheet(
            function: function.name.description, revision: revision.number, revisionId: revision.id.text, author: revision.createdBy,
            deployed: revision.created.rfc3339, bundleDigest: revision.bundleDigest, signer: signer.keyId(of: revision) ?? "",
            signedBy: revision.signer, approvedBy: approvedBy,
            findings: sees(.functionRead) ? revision.findings : nil,
            access: spec.access.rawValue, capabilities: (spec.capabilities ?? []).map(\.description), identity: spec.audiences ?? [],
            secretsInResponse: spec.secretsInResponse?.rawValue ?? "redact",
            egress: sees(.functionRead) ? reachable.map(\.description) : nil,
            secrets: sees(.secretWrite) ? Set(secrets + spec.secrets.map(\.text)).sorted() : nil,
            yourRights: rights.list.map(\.rawValue),
            willHave: willHave(spec, principal), consented: consents.given(by: principal.identity, to: revision.id)?.rfc3339)
    }

    /// Those of the declared capabilities that the caller's calls would have.
    private func willHave(_ spec: FunctionSpec, _ principal: Principal) -> [String] {
        (spec.capabilities ?? []).filter { capability in
            guard let callee = catalog.catalog.function(named: capability.function.description[...]) else { return false }
            return principal.rights.has(capability.right, on: .function(callee.id, in: callee.namespaceId))
        }.map(\.description)
    }
}

extension Transaction {
    fileprivate func activeRevision(of id: FunctionId) throws -> Revision? {
        try function(id)?.activeRevision.flatMap { try revision($0) }
    }
}

struct NewConsent: StrictDecodable {
    static let fields: Set<String> = ["revisionId"]
    /// The one whose sheet was seen. (Numbers begin anew with a function that is deleted and made again.)
    var revisionId: String
}

/// Everything that says whether a function can be trusted with one's rights.
struct TrustSheet: Encodable, Sendable {
    var function: String
    var revision: Int
    var revisionId: String
    /// Who deployed it.
    var author: String
    var deployed: String
    var bundleDigest: String
    /// The server's key that signed it, by its fingerprint.
    var signer: String
    /// Whose signature it was deployed with.
    var signedBy: DeploymentSigner?
    /// Who else has looked at it.
    var approvedBy: [String]
    var findings: [Diagnostic]?
    var access: String
    /// What its calls may do for their callers.
    var capabilities: [String]
    /// To whom it may prove who it is.
    var identity: [String]
    /// What becomes of an answer with one of its secrets in it.
    var secretsInResponse: String
    /// Names and ports that it may reach.
    var egress: [String]?
    /// Names of its secrets.
    var secrets: [String]?
    var yourRights: [String]
    /// The capabilities that you have, too, so that a call of yours would.
    var willHave: [String]
    /// When you agreed; nil where you have not.
    var consented: String?
}
