import CasemateModel
import Foundation
import GRDB

extension Transaction {
    /// The oldest first, those that ended included.
    public func signIns() throws -> [StoredCredential] {
        try Row.fetchAll(db, sql: "SELECT * FROM sign_ins ORDER BY created, id").map(StoredCredential.init(signIn:))
    }

    /// Of one person, the oldest first.
    public func signIns(of person: SignedInPerson) throws -> [SessionId] {
        try String.fetchAll(
            db, sql: "SELECT id FROM sign_ins WHERE issuer_id = ? AND subject = ? ORDER BY created, id",
            arguments: [person.issuer.text, person.subject]
        ).compactMap { SessionId($0) }
    }

    public func countSignIns() throws -> Int { try Int.fetchOne(db, sql: "SELECT count(*) FROM sign_ins") ?? 0 }

    /// Notes what a sign-in is made for, so that it makes no other.
    /// - Parameter proof: SHA-256 of what was signed. (Of the signature there may be several that are right.)
    /// - Throws: `.conflict` where that was used before.
    public func use(proof: [UInt8], until expires: Timestamp) throws {
        try db.execute(
            sql: "INSERT OR IGNORE INTO sign_in_proofs (proof, expires) VALUES (?, ?)", arguments: [Data(proof), expires.milliseconds])
        guard db.changesCount == 1 else { throw Problem(.conflict, "that token was used to sign in before") }
    }

    public func insert(signIn credential: StoredCredential) throws {
        guard case .person(let id, let person) = credential.holder, let expires = credential.expires else {
            throw Problem(.internalError, "a sign-in is a person's, and ends")
        }
        try db.execute(
            sql: """
                INSERT INTO sign_ins (id, hash, prefix, description, issuer_id, subject, username, groups, created, expires)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                id.text, Data(credential.hash), credential.prefix, credential.description, person.issuer.text, person.subject,
                person.username, try JSONEncoder().encode(person.groups), credential.created.milliseconds, expires.milliseconds,
            ])
    }

    /// Answers its hash; nil where there is none.
    public func deleteSignIn(_ id: SessionId) throws -> [UInt8]? {
        let hash = try Data.fetchOne(db, sql: "SELECT hash FROM sign_ins WHERE id = ?", arguments: [id.text])
        try db.execute(sql: "DELETE FROM sign_ins WHERE id = ?", arguments: [id.text])
        return hash.map { [UInt8]($0) }
    }

    /// With what sign-ins were made for, once that is worth nothing any more.
    public func deleteExpiredSignIns(at time: Timestamp) throws {
        try db.execute(sql: "DELETE FROM sign_ins WHERE expires <= ?", arguments: [time.milliseconds])
        try db.execute(sql: "DELETE FROM sign_in_proofs WHERE expires <= ?", arguments: [time.milliseconds])
    }

    // MARK: Consent

    public func consents() throws -> [Consent] {
        try Row.fetchAll(db, sql: "SELECT * FROM consents").map { row in
            guard let revision = RevisionId(row["revision_id"] as String) else { throw RecordsError.damaged }
            return Consent(identity: row["identity"], revision: revision, created: Timestamp(milliseconds: row["created"]))
        }
    }

    public func insert(_ consent: Consent) throws {
        try db.execute(
            sql: "INSERT OR IGNORE INTO consents (identity, revision_id, created) VALUES (?, ?, ?)",
            arguments: [consent.identity, consent.revision.text, consent.created.milliseconds])
    }

    /// False where there was none.
    public func deleteConsent(of identity: String, to revision: RevisionId) throws -> Bool {
        try db.execute(sql: "DELETE FROM consents WHERE identity = ? AND revision_id = ?", arguments: [identity, revision.text])
        return db.changesCount > 0
    }
}

extension StoredCredential {
    init(signIn row: Row) throws {
        guard let id = SessionId(row["id"] as String), let issuer = IssuerId(row["issuer_id"] as String) else {
            throw RecordsError.damaged
        }
        let person = SignedInPerson(
            issuer: issuer, subject: row["subject"], username: row["username"],
            groups: try JSONDecoder().decode([String].self, from: row["groups"] as Data))
        self.init(
            holder: .person(id, person), hash: [UInt8](row["hash"] as Data), prefix: row["prefix"], description: row["description"],
            created: Timestamp(milliseconds: row["created"]), expires: Timestamp(milliseconds: row["expires"]),
            lastUsed: (row["last_used"] as Int64?).map(Timestamp.init(milliseconds:)))
    }
}
