import CasemateModel
import Testing

@testable import CasemateStore

@Suite("Credentials as they are stored")
struct CredentialRecordsTests {
    private func bootstrap(_ records: Records, _ hash: UInt8) async throws {
        try await records.write {
            try $0.setBootstrapKey(hash: [UInt8](repeating: hash, count: 32), prefix: "cma_abc", at: Timestamp(milliseconds: 8))
        }
    }

    @Test("tokens come back as they were, in the order in which they were made")
    func roundTrip() async throws {
        try await withRecords { records async throws in
            let namespace = Namespace.made("team")
            let function = Function.made("resize", in: namespace)
            let tokens = [StoredCredential.token(namespace, function, hash: 1, created: 5), .token(namespace, hash: 2, created: 4)]
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(function)
                for token in tokens { try transaction.insert(token) }
            }
            #expect(try await records.read { try $0.credentials() } == tokens.reversed())
        }
    }

    @Test("a token needs an expiry, a namespace that exists and a hash of its own")
    func constraints() async throws {
        try await withRecords { records async throws in
            let namespace = Namespace.made("team")
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(StoredCredential.token(namespace, hash: 1))
            }
            var endless = StoredCredential.token(namespace, hash: 2)
            endless.expires = nil
            for wrong in [endless, .token(.made("none"), hash: 3), .token(namespace, hash: 1)] {
                await #expect(throws: (any Error).self) { try await records.write { try $0.insert(wrong) } }
            }
            #expect(try await records.read { try $0.credentials() }.count == 1)
        }
    }

    @Test("a deleted token is gone; deleting says whether there was one")
    func delete() async throws {
        try await withRecords { records async throws in
            let namespace = Namespace.made("team")
            let token = StoredCredential.token(namespace, hash: 1)
            guard case .functionToken(let id, _, _) = token.holder else { return }
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(token)
            }
            #expect(try await !records.write { try $0.deleteToken(TokenId()) })
            #expect(try await records.write { try $0.deleteToken(id) })
            #expect(try await !records.write { try $0.deleteToken(id) })
            #expect(try await records.read { try $0.credentials() }.isEmpty)
        }
    }

    @Test("a replaced bootstrap key takes the old one's place")
    func replaced() async throws {
        try await withRecords { records async throws in
            try await bootstrap(records, 1)
            let first = try await records.read { try $0.credentials() }
            #expect(first.map(\.hash) == [[UInt8](repeating: 1, count: 32)])
            #expect(first.first?.expires == nil)
            guard case .administrator? = first.first?.holder else {
                Issue.record("no administrator")
                return
            }
            try await bootstrap(records, 2)
            #expect(try await records.read { try $0.credentials() }.map(\.hash) == [[UInt8](repeating: 2, count: 32)])
        }
    }

    @Test("the same bootstrap key again keeps its id")
    func same() async throws {
        try await withRecords { records async throws in
            try await bootstrap(records, 1)
            let first = try await records.read { try $0.credentials() }
            try await bootstrap(records, 1)
            #expect(try await records.read { try $0.credentials() } == first)
        }
    }

    @Test("replacing the bootstrap key leaves other keys alone")
    func others() async throws {
        try await withRecords { records async throws in
            let key = StoredCredential(
                holder: .administrator(KeyId()), hash: [UInt8](repeating: 9, count: 32), prefix: "cma_x", description: "ci",
                created: Timestamp(milliseconds: 1), expires: Timestamp(milliseconds: 2))
            try await records.write { try $0.insert(key) }
            try await bootstrap(records, 1)
            try await bootstrap(records, 2)
            let stored = try await records.read { try $0.credentials() }
            #expect(stored.count == 2)
            #expect(stored.contains(key))
        }
    }
}
