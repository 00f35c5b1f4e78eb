import CasemateModel
import Testing

@testable import CasemateStore

@Suite("Sign-ins and consents as they are stored")
struct SignInRecordsTests {
    private let issuer = Issuer(
        id: IssuerId(), name: IssuerLabel("corp")!, url: "https://idp.example", audiences: ["casemate"], clientId: "cli", scope: "openid",
        created: Timestamp(milliseconds: 1), createdBy: "key:x")

    private func signIn(_ subject: String, hash: UInt8, expires: Int64 = 100) -> (SessionId, StoredCredential) {
        let id = SessionId()
        let person = SignedInPerson(issuer: issuer.id, subject: subject, username: "\(subject)@example", groups: ["a", "b"])
        return (
            id,
            StoredCredential(
                holder: .person(id, person), hash: [UInt8](repeating: hash, count: 32), prefix: "cmp_abc", description: "laptop",
                created: Timestamp(milliseconds: Int64(hash)), expires: Timestamp(milliseconds: expires))
        )
    }

    @Test("come back as they were, of one person, and end by themselves, one by one, or with their issuer")
    func signIns() async throws {
        try await withRecords { records async throws in
            let (first, second, other) = (signIn("alice", hash: 1), signIn("alice", hash: 2, expires: 50), signIn("bob", hash: 3))
            try await records.write { transaction in
                try transaction.insert(issuer)
                #expect(try transaction.issuers() == [issuer])
                for entry in [first, second, other] { try transaction.insert(signIn: entry.1) }
                #expect(try transaction.signIns() == [first.1, second.1, other.1])
                guard case .person(_, let alice) = first.1.holder else { return }
                #expect(try transaction.signIns(of: alice) == [first.0, second.0])
                #expect(try transaction.countSignIns() == 3)
                try transaction.setLastUsed([(first.1.hash, Timestamp(milliseconds: 77))])
                #expect(try transaction.signIns().first?.lastUsed == Timestamp(milliseconds: 77))
                try transaction.deleteExpiredSignIns(at: Timestamp(milliseconds: 50))
                #expect(try transaction.signIns(of: alice) == [first.0])
                #expect(try transaction.deleteSignIn(other.0) == other.1.hash)
                #expect(try transaction.deleteSignIn(other.0) == nil)
                try transaction.delete(issuer)
                #expect(try transaction.signIns().isEmpty)
            }
        }
    }

    @Test("what one is made for makes no other, until it is worth nothing")
    func proofs() async throws {
        try await withRecords { records async throws in
            try await records.write { transaction in
                try transaction.use(proof: [1, 2], until: Timestamp(milliseconds: 50))
                try transaction.use(proof: [1, 3], until: Timestamp(milliseconds: 60))
                #expect(throws: Problem(.conflict, "")) { try transaction.use(proof: [1, 2], until: Timestamp(milliseconds: 500)) }
                try transaction.deleteExpiredSignIns(at: Timestamp(milliseconds: 50))
                try transaction.use(proof: [1, 2], until: Timestamp(milliseconds: 70))
                #expect(throws: Problem(.conflict, "")) { try transaction.use(proof: [1, 3], until: Timestamp(milliseconds: 500)) }
            }
        }
    }

    @Test("a consent is somebody's to a revision, once, and goes with either")
    func consents() async throws {
        try await withRecords { records async throws in
            let namespace = Namespace.made("team")
            let function = Function.made("resize", in: namespace)
            let revision = Revision.made(1, of: function)
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(function)
                try transaction.insert(revision)
                let consent = Consent(identity: "person:x:alice", revision: revision.id, created: Timestamp(milliseconds: 5))
                try transaction.insert(consent)
                try transaction.insert(Consent(identity: consent.identity, revision: revision.id, created: Timestamp(milliseconds: 9)))
                #expect(try transaction.consents() == [consent])
                #expect(try !transaction.deleteConsent(of: "person:x:bob", to: revision.id))
                #expect(try transaction.deleteConsent(of: consent.identity, to: revision.id))
                try transaction.insert(consent)
                try transaction.delete(function)
                #expect(try transaction.consents().isEmpty)
            }
        }
    }
}
