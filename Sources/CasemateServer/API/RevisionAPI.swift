import CasemateDeploy
import CasemateIdentity
import CasemateModel
import CasemateStore
import CasemateVault
import HTTPTypes

/// Revisions: who approved them, what they differ in, which of them run and which are kept.
extension APIServices {
    private static var path: String { "/v1/namespaces/{namespace}/functions/{function}" }
    private static var mostPinned: Int { 20 }
    private static var revision: String { path + "/revisions/{revision}" }

    var revisionRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/keys/signing", needs: .credential) { request in
                try request.allowQuery(["keyId"])
                guard let id = request.query["keyId"] else { return .json(SigningKeyView(signer.verifying)) }
                guard let key = signer.key(id) else { throw Problem(.notFound, "no such key ever signed here") }
                return .json(SigningKeyView(key))
            },
            APIRoute(.get, Self.path + "/provenance", needs: .right(.functionRead)) { try await provenance($0) },
            APIRoute(.get, Self.path + "/statement", needs: .right(.functionRead)) { try await statement($0) },
            APIRoute(.get, Self.path + "/diff", needs: .right(.functionRead)) { try await diff($0) },
            APIRoute(.get, "/v1/namespaces/{namespace}/approvals", needs: .within(.functionRead)) { try await pending($0) },
            APIRoute(.post, Self.revision + "/approval", needs: .right(.deployApprove)) { request in
                let body = try Self.newApproval(try await request.body(limit: 16_384))
                return .json(try await approve(body, request))
            },
            APIRoute(.post, Self.revision + "/rejection", needs: .right(.deployApprove)) { request in
                let body = try Self.newApproval(try await request.body(limit: 16_384))
                try await reject(body, request)
                return .noContent
            },
            APIRoute(.put, Self.revision + "/pin", needs: .right(.functionDeploy)) { try await setPinned(true, $0) },
            APIRoute(.delete, Self.revision + "/pin", needs: .right(.functionDeploy)) { try await setPinned(false, $0) },
            APIRoute(.put, Self.path + "/split", needs: .right(.functionDeploy)) { request in
                let body: NewSplit = try await request.json(limit: 4096)
                return .json(try await set(body, request))
            },
            APIRoute(.delete, Self.path + "/split", needs: .right(.functionDeploy)) { try await endSplit($0) },
            APIRoute(.post, "/v1/namespaces/{namespace}/promotions", needs: .within(.functionDeploy)) { request in
                let body = try Self.newPromotion(try await request.body(limit: 16_384))
                return .json(try await promote(body, request))
            },
        ]
    }

    func revisionView(_ revision: Revision, isActive: Bool) async throws -> RevisionView {
        RevisionView(revision, try await records.read { try $0.approvals(of: revision.id) }, isActive: isActive)
    }

    /// The one that the path or the query names.
    private func revision(_ text: String?, of function: Function) async throws -> Revision {
        let found = try await records.read { transaction in
            guard let text else { return try function.activeRevision.flatMap { try transaction.revision($0) } }
            return try Int(text).flatMap { try transaction.revision($0, of: function.id) }
        }
        guard let found else {
            let missing = text.map { "\(function.name) has no revision \($0.prefix(20))" } ?? "\(function.name) has not been deployed yet"
            throw Problem(.notFound, missing)
        }
        return found
    }

    private func revision(_ request: APIRequest) async throws -> (Function, Revision) {
        let function = try await function(try request.functionName())
        return (function, try await revision(request.parameter("revision"), of: function))
    }

    // MARK: What they are

    private func provenance(_ request: APIRequest) async throws -> APIResponse {
        try request.allowQuery(["revision"])
        let function = try await function(try request.functionName())
        let revision = try await revision(request.query["revision"], of: function)
        guard let envelope = try await records.read({ try $0.evidence(of: revision.id) }).provenance else {
            throw Problem(.notFound, "revision \(revision.number) was made before there was provenance; deploy it again")
        }
        guard HexDigest.sha256(envelope) == revision.provenanceDigest, signer.isValid(revision) else {
            throw Problem(.tampered, "the provenance of revision \(revision.number) is not what was signed")
        }
        return .bytes(envelope, contentType: "application/vnd.dsse+json")
    }

    private func statement(_ request: APIRequest) async throws -> APIResponse {
        try request.allowQuery(["revision"])
        let function = try await function(try request.functionName())
        let revision = try await revision(request.query["revision"], of: function)
        let evidence = try await records.read { try $0.evidence(of: revision.id) }
        guard let statement = evidence.statement, let signature = evidence.signature else {
            throw Problem(.notFound, "revision \(revision.number) was deployed without a signature")
        }
        return .json(StatementView(statement: statement, signature: signature, signedBy: revision.signer))
    }

    private func diff(_ request: APIRequest) async throws -> APIResponse {
        try request.allowQuery(["from", "to"])
        let function = try await function(try request.functionName())
        guard request.query["from"] != nil, request.query["to"] != nil else {
            throw Problem(.invalidRequest, "from and to: the numbers of two revisions")
        }
        let from = try request.number("from", default: 0, in: 1...Int.max)
        let to = try request.number("to", default: 0, in: 1...Int.max)
        let (before, after) = (try await revision("\(from)", of: function), try await revision("\(to)", of: function))
        let showsSecrets = showsSecrets(of: function, request.principal.rights)
        return .json(try await deploy.diff(before, after, of: function, showsSecrets: showsSecrets))
    }

    /// Their names tell what a function can get at.
    private func showsSecrets(of function: Function, _ rights: GrantedRights) -> Bool {
        rights.has(.secretWrite, on: function.resource) || rights.has(.deployApprove, on: function.resource)
    }

    // MARK: Approvals

    private func pending(_ request: APIRequest) async throws -> APIResponse {
        try request.allowQuery([])
        let namespace = try await namespace(try request.namespace())
        let rights = request.principal.rights
        let waiting = try await records.read { transaction in
            try transaction.pendingRevisions(in: namespace.id).compactMap { revision in
                try transaction.function(revision.functionId).flatMap { function in
                    rights.has(.functionRead, on: function.resource)
                        ? (function, revision, try revision.base.flatMap { try transaction.revision($0) }) : nil
                }
            }
        }
        var views: [PendingView] = []
        for (function, revision, base) in waiting {
            // Without the vault plain values can't be compared, and all else can be read elsewhere.
            let changes = try? await deploy.diff(base, revision, of: function, showsSecrets: showsSecrets(of: function, rights))
            views.append(PendingView(revision, of: function, changes))
        }
        return .json(PendingList(pending: views))
    }

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func newApproval(_ bytes: [UInt8]) throws -> NewApproval {
        let body: NewApproval = try StrictJSON.decode(bytes)
        guard body.digest.hasPrefix("sha256:"), ArtifactStore.isDigest(String(body.digest.dropFirst(7))) else {
            throw Problem(.invalidRequest, "digest: sha256: and 64 hexadecimal digits, as casemate approvals shows it")
        }
        guard (body.comment ?? "").utf8.count <= 1000 else { throw Problem(.invalidRequest, "comment: 1000 bytes at most") }
        return body
    }

    /// - Throws: `.forbidden` where the credential has ended, or lost the right, since the request began.
    private func order(_ body: NewApproval, _ function: Function, _ revision: Revision, _ request: APIRequest) throws(Problem)
        -> ApprovalOrder
    {
        // Once: whoever asks is one, from here to the record.
        let principal = request.principal
        guard principal.rights.has(.deployApprove, on: function.resource) else {
            throw Problem(.forbidden, "this takes the right \(Right.deployApprove.rawValue)")
        }
        return ApprovalOrder(
            function: function, number: revision.number, digest: String(body.digest.dropFirst(7)), comment: body.comment ?? "",
            approver: DeployAuthor(subject: principal.subject, identity: principal.identity))
    }

    private func approve(_ body: NewApproval, _ request: APIRequest) async throws -> RevisionView {
        let (function, revision) = try await revision(request)
        do {
            try await deploy.giveApproval(try order(body, function, revision, request))
        } catch let problem as Problem where problem.code == .selfApproval {
            try await audited(
                AuditEvent(
                    .approvalRefused, function.auditScope, outcome: .refused,
                    ["revision": "\(revision.number)", "digest": RevisionSigner.digest(of: revision)]))
            throw problem
        }
        AuditContext.current?.changedNothing()
        let (stored, now) = try await records.read { (try $0.revision(revision.id), try $0.function(function.id)) }
        return try await revisionView(stored ?? revision, isActive: now?.activeRevision == revision.id)
    }

    private func reject(_ body: NewApproval, _ request: APIRequest) async throws {
        let (function, revision) = try await revision(request)
        try await deploy.rejectRevision(try order(body, function, revision, request))
    }

    // MARK: Which are kept, and which run

    private func setPinned(_ isPinned: Bool, _ request: APIRequest) async throws -> APIResponse {
        let (function, revision) = try await revision(request)
        let pinned = try await records.write { transaction in
            try request.require(.functionDeploy, on: function.resource, for: "to pin a revision of \(function.name)")
            guard var stored = try transaction.revision(revision.id) else { throw Problem(.notFound, "the revision is gone") }
            let others = try transaction.revisions(of: function.id).filter { $0.isPinned && $0.id != stored.id }
            guard !isPinned || others.count < Self.mostPinned else {
                throw Problem(.conflict, "\(function.name) has \(Self.mostPinned) pinned revisions already; unpin one")
            }
            if stored.isPinned != isPinned {
                try transaction.setPinned(isPinned, stored.id)
                transaction.record(
                    isPinned ? .revisionPinned : .revisionUnpinned, function.auditScope, ["revision": "\(revision.number)"])
            }
            stored.isPinned = isPinned
            return stored
        }
        AuditContext.current?.changedNothing()
        guard isPinned else { return .noContent }
        return .json(try await revisionView(pinned, isActive: pinned.id == function.activeRevision))
    }

    private func set(_ body: NewSplit, _ request: APIRequest) async throws -> SplitView {
        guard RevisionSplit.percentRange.contains(body.percent) else { throw Problem(.invalidRequest, "percent: 1 to 99") }
        guard body.returnAbove.map(RevisionSplit.returnRange.contains) ?? true else {
            throw Problem(.invalidRequest, "returnAbove: 1 to 99, in percent of the calls of that revision")
        }
        let function = try await function(try request.functionName())
        let revision = try await revision("\(body.revision)", of: function)
        let split = RevisionSplit(
            revision: revision.id, percent: body.percent, returnAbove: body.returnAbove, created: .now, createdBy: request.principal.subject
        )
        try await deploy.split(split, of: function) { transaction in
            try request.require(.functionDeploy, on: function.resource, for: "to split the calls of \(function.name)")
            let policy = try transaction.policy(of: function.namespaceId).supplyChain
            try mayRun(revision, of: function, policy, request, transaction)
        }
        try await catalog.reload(function.id)
        return SplitView(split, revision)
    }

    private func endSplit(_ request: APIRequest) async throws -> APIResponse {
        let function = try await function(try request.functionName())
        try await records.write { transaction in
            try request.require(.functionDeploy, on: function.resource, for: "to end the split of \(function.name)")
            guard try transaction.split(of: function.id) != nil else {
                throw Problem(.notFound, "the active revision of \(function.name) runs all its calls")
            }
            try transaction.set(nil, of: function.id)
            transaction.record(.splitEnded, function.auditScope)
        }
        try await catalog.reload(function.id)
        return .noContent
    }

    // MARK: Promotion

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func newPromotion(_ bytes: [UInt8]) throws -> (from: FunctionName, revision: Int?, label: FunctionLabel) {
        let body: NewPromotion = try StrictJSON.decode(bytes)
        guard let from = FunctionName(body.from) else { throw Problem(.invalidName, "from: NAMESPACE/FUNCTION") }
        return (from, body.revision, body.name ?? from.function)
    }

    private func promote(_ body: (from: FunctionName, revision: Int?, label: FunctionLabel), _ request: APIRequest) async throws
        -> FunctionOutcome
    {
        let target = FunctionName(namespace: try request.namespace(), function: body.label)
        let there = try await namespace(target.namespace)
        let source = try await function(body.from, knownTo: request.principal)
        guard source.namespaceId != there.id else {
            throw Problem(.invalidRequest, "from: \(target.namespace) has it already; a promotion leads to another namespace")
        }
        // Who has it there can read its source there.
        try request.require(.sourceRead, on: source.resource, for: "to promote \(body.from)")
        let order = DeployRequest(
            namespace: target.namespace, manifest: "", manifestFile: "\(body.from)", sources: [:], isDryRun: false,
            subject: request.principal.subject, identity: request.principal.identity, rights: { request.principal.rights })
        let outcome = try await deploy.promote(source, revision: body.revision, to: target, order)
        try await noteRefusals([outcome])
        return FunctionOutcome(outcome, urls: urls)
    }
}

struct NewApproval: StrictDecodable {
    static let fields: Set<String> = ["digest", "comment"]
    /// Of what was looked at, `sha256:…`.
    var digest: String
    var comment: String?
}

struct NewSplit: StrictDecodable {
    static let fields: Set<String> = ["revision", "percent", "returnAbove"]
    var revision: Int
    var percent: Int
    var returnAbove: Int?
}

struct NewPromotion: StrictDecodable {
    static let fields: Set<String> = ["from", "revision", "name"]
    /// NAMESPACE/FUNCTION
    var from: String
    var revision: Int?
    /// What it is called there; nil for the same.
    var name: FunctionLabel?
}
