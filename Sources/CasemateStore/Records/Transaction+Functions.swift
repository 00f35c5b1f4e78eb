import CasemateModel
import Foundation
import GRDB

extension Transaction {
    /// Without what its bundle holds and what proves where it comes from, which is long.
    static let selectRevision = """
        SELECT id, function_id, number, bundle_digest, source_digest, spec, lock, findings, signature, created, created_by, digest,
            provenance_digest, author_identity, code_author, signer, signed_at, state, needs_approval, base, origin, is_pinned FROM revisions
        """
    private static let selectFunction =
        "SELECT f.*, n.name AS namespace FROM functions f JOIN namespaces n ON n.id = f.namespace_id"

    public func functions() throws -> [Function] {
        try Row.fetchAll(db, sql: Self.selectFunction + " ORDER BY n.name, f.name").map(Function.init(row:))
    }

    public func functions(in namespace: NamespaceId) throws -> [Function] {
        try Row.fetchAll(db, sql: Self.selectFunction + " WHERE n.id = ? ORDER BY f.name", arguments: [namespace.text]).map(
            Function.init(row:))
    }

    public func function(_ name: FunctionName) throws -> Function? {
        try Row.fetchOne(
            db, sql: Self.selectFunction + " WHERE n.name = ? AND f.name = ?", arguments: [name.namespace.text, name.function.text]
        ).map(Function.init(row:))
    }

    public func function(_ id: FunctionId) throws -> Function? {
        try Row.fetchOne(db, sql: Self.selectFunction + " WHERE f.id = ?", arguments: [id.text]).map(Function.init(row:))
    }

    /// - Throws: `.conflict` where the key that wraps its data key was retired meanwhile.
    public func insert(_ function: Function) throws {
        guard try !isRetired(function.wrappedDataKey.keyId) else {
            throw Problem(.conflict, "the vault's key was rotated meanwhile; try again")
        }
        try db.execute(
            sql: """
                INSERT INTO functions (id, namespace_id, name, active_revision, wrapped_data_key, key_id, created, updated)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                function.id.text, function.namespaceId.text, function.name.function.text, function.activeRevision?.text,
                Data(function.wrappedDataKey.bytes), function.wrappedDataKey.keyId, function.created.milliseconds,
                function.updated.milliseconds,
            ])
    }

    public func delete(_ function: Function) throws {
        try db.execute(sql: "DELETE FROM functions WHERE id = ?", arguments: [function.id.text])
    }

    /// Moves the pointer: from now on calls run `revision`.
    public func activate(_ revision: RevisionId, of function: FunctionId, at time: Timestamp) throws {
        try db.execute(
            sql: "UPDATE functions SET active_revision = ?, updated = ? WHERE id = ?",
            arguments: [revision.text, time.milliseconds, function.text])
    }

    /// Moves the pointer where it still is at `before`.
    /// - Throws: `.conflict` where another deployment moved it meanwhile.
    public func activate(_ revision: RevisionId, of function: FunctionId, from before: RevisionId?, at time: Timestamp) throws {
        let current = try self.function(function)
        guard let current, current.activeRevision == before else {
            throw Problem(.conflict, "another deployment changed the function meanwhile; deploy again if yours should win")
        }
        try activate(revision, of: function, at: time)
    }

    /// - Parameter reason: nil: its calls run again.
    public func setDisabled(_ reason: String?, of function: FunctionId) throws {
        try db.execute(sql: "UPDATE functions SET disabled = ? WHERE id = ?", arguments: [reason, function.text])
    }

    // MARK: Revisions

    public func revisions(of function: FunctionId) throws -> [Revision] {
        try Row.fetchAll(db, sql: Self.selectRevision + " WHERE function_id = ? ORDER BY number DESC", arguments: [function.text])
            .map(Revision.init(row:))
    }

    public func revision(_ id: RevisionId) throws -> Revision? {
        try Row.fetchOne(db, sql: Self.selectRevision + " WHERE id = ?", arguments: [id.text]).map(Revision.init(row:))
    }

    /// Numbers are never used twice, also when the newest revision was removed.
    public func nextRevisionNumber(of function: FunctionId) throws -> Int {
        (try Int.fetchOne(db, sql: "SELECT last_revision FROM functions WHERE id = ?", arguments: [function.text]) ?? 0) + 1
    }

    public func insert(
        _ revision: Revision, _ contents: BundleContents = BundleContents(), _ evidence: RevisionEvidence = RevisionEvidence()
    ) throws {
        try db.execute(
            sql: """
                INSERT INTO revisions (id, function_id, number, bundle_digest, source_digest, spec, lock, findings, signature, created,
                    created_by, components, sbom, digest, provenance_digest, provenance, author_identity, code_author, signer, signed_at,
                    statement, statement_signature, state, needs_approval, base, origin, is_pinned)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                revision.id.text, revision.functionId.text, revision.number, revision.bundleDigest, revision.sourceDigest,
                Data(revision.specBytes), revision.lock, try JSONEncoder().encode(revision.findings), Data(revision.signature),
                revision.created.milliseconds, revision.createdBy, try contents.components.map { try JSONEncoder().encode($0) },
                contents.sbom.map { Data($0) }, revision.digest, revision.provenanceDigest, evidence.provenance.map { Data($0) },
                revision.authorIdentity, try Self.json(revision.codeAuthor), try Self.json(revision.signer),
                revision.signedAt?.milliseconds, evidence.statement, evidence.signature,
                revision.state.rawValue, revision.needsApproval.map(\.rawValue).joined(separator: ","), revision.base?.text,
                try Self.json(revision.origin), revision.isPinned,
            ])
        try db.execute(
            sql: "UPDATE functions SET last_revision = max(last_revision, ?) WHERE id = ?",
            arguments: [revision.number, revision.functionId.text])
    }

    private static func json(_ value: (some Encodable)?) throws -> String? {
        try value.map { String(decoding: try JSONEncoder().encode($0), as: UTF8.self) }
    }

    public func contents(of revision: RevisionId) throws -> BundleContents {
        guard let row = try Row.fetchOne(db, sql: "SELECT components, sbom FROM revisions WHERE id = ?", arguments: [revision.text]) else {
            return BundleContents()
        }
        return BundleContents(
            components: try (row["components"] as Data?).map { try JSONDecoder().decode([Component].self, from: $0) },
            sbom: (row["sbom"] as Data?).map { [UInt8]($0) })
    }

    /// Whether any function has a revision with this bundle.
    public func isBundleUsed(_ digest: String) throws -> Bool {
        try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM revisions WHERE bundle_digest = ?)", arguments: [digest]) ?? false
    }

    public func isSourceUsed(_ digest: String) throws -> Bool {
        try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM revisions WHERE source_digest = ?)", arguments: [digest]) ?? false
    }
}

extension Function {
    init(row: Row) throws {
        guard let id = FunctionId(row["id"] as String), let namespaceId = NamespaceId(row["namespace_id"] as String),
            let namespace = NamespaceName(row["namespace"] as String), let label = FunctionLabel(row["name"] as String)
        else { throw RecordsError.damaged }
        self.init(
            id: id, namespaceId: namespaceId, name: FunctionName(namespace: namespace, function: label),
            activeRevision: (row["active_revision"] as String?).flatMap { RevisionId($0) },
            wrappedDataKey: WrappedKey(keyId: row["key_id"], bytes: [UInt8](row["wrapped_data_key"] as Data)), disabled: row["disabled"],
            created: Timestamp(milliseconds: row["created"]),
            updated: Timestamp(milliseconds: row["updated"]))
    }
}

extension Revision {
    init(row: Row) throws {
        guard let id = RevisionId(row["id"] as String), let functionId = FunctionId(row["function_id"] as String) else {
            throw RecordsError.damaged
        }
        self.init(
            id: id, functionId: functionId, number: row["number"], bundleDigest: row["bundle_digest"], sourceDigest: row["source_digest"],
            specBytes: [UInt8](row["spec"] as Data), lock: row["lock"],
            findings: try JSONDecoder().decode([Diagnostic].self, from: row["findings"] as Data),
            signature: [UInt8](row["signature"] as Data), created: Timestamp(milliseconds: row["created"]), createdBy: row["created_by"])
        guard let state = RevisionState(rawValue: row["state"]) else { throw RecordsError.damaged }
        self.state = state
        digest = row["digest"]
        provenanceDigest = row["provenance_digest"]
        authorIdentity = row["author_identity"]
        signer = try (row["signer"] as String?).map { try JSONDecoder().decode(DeploymentSigner.self, from: Data($0.utf8)) }
        codeAuthor = try (row["code_author"] as String?).map { try JSONDecoder().decode(DeployAuthor.self, from: Data($0.utf8)) }
        signedAt = (row["signed_at"] as Int64?).map(Timestamp.init(milliseconds:))
        needsApproval = (row["needs_approval"] as String).split(separator: ",").compactMap { ApprovalKind(rawValue: String($0)) }
        base = (row["base"] as String?).flatMap { RevisionId($0) }
        origin = try (row["origin"] as String?).map { try JSONDecoder().decode(RevisionOrigin.self, from: Data($0.utf8)) }
        isPinned = row["is_pinned"]
    }
}
