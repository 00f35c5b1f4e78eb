import CasemateModel
import Testing

@testable import CasemateStore

@Suite("Service accounts and grants as they are stored")
struct AccessRecordsTests {
    private func account(_ name: String, in namespace: Namespace, hash: UInt8 = 1) -> ServiceAccount {
        ServiceAccount(
            id: AccountId(), namespaceId: namespace.id, namespace: namespace.name, label: AccountLabel(name)!,
            secretHash: [UInt8](repeating: hash, count: 32), secretPrefix: "cmc_abc", created: Timestamp(milliseconds: 5),
            createdBy: "key:x")
    }

    private func grant(_ account: ServiceAccount, _ permission: Permission, _ resource: Resource) -> Grant {
        Grant(
            id: GrantId(), subject: .serviceAccount(account.id), permission: permission, resource: resource,
            created: Timestamp(milliseconds: 6), createdBy: "key:x")
    }

    private func key(_ account: ServiceAccount, hash: UInt8, _ kind: StoredCredential.AccountCredential = .key) -> StoredCredential {
        StoredCredential(
            holder: .serviceAccount(account.id, KeyId(), kind), hash: [UInt8](repeating: hash, count: 32), prefix: "12345678",
            description: "ci", created: Timestamp(milliseconds: 7), expires: Timestamp(milliseconds: 99))
    }

    @Test("accounts, keys and grants on every kind of resource come back as they were")
    func roundTrip() async throws {
        try await withRecords { records async throws in
            let namespace = Namespace.made("team")
            let function = Function.made("resize", in: namespace)
            let account = account("ci", in: namespace)
            let key = key(account, hash: 2)
            let grants = [
                grant(account, .role(.admin), .platform), grant(account, .role(.viewer), .namespace(namespace.id)),
                grant(account, .right(.logsRead), function.resource),
            ]
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(function)
                try transaction.insert(account)
                try transaction.insert(key)
                for grant in grants { #expect(try transaction.insert(grant) == grant) }
            }
            let found = try await records.read { try $0.access() }
            #expect(found.accounts == [account])
            #expect(found.credentials == [key])
            #expect(Set(found.grants) == Set(grants))
        }
    }

    private func issuer(_ name: String, _ url: String) -> Issuer {
        Issuer(
            id: IssuerId(), name: IssuerLabel(name)!, url: url, audiences: ["casemate", "größer"], usernameClaim: "email",
            algorithms: ["ES256"], authority: "pem", created: Timestamp(milliseconds: 9), createdBy: "key:x")
    }

    @Test("issuers and the grants of their people come back as they were, and go together")
    func people() async throws {
        try await withRecords { records async throws in
            let (corp, other) = (issuer("corp", "https://one.example"), issuer("other", "https://two.example"))
            let grants = [
                Subject.user(corp.id, "alice"), .group(corp.id, "alice"), .user(corp.id, "ALICE"), .user(other.id, "alice"),
            ].map { subject in
                Grant(
                    id: GrantId(), subject: subject, permission: .role(.viewer), resource: .platform, created: Timestamp(milliseconds: 6),
                    createdBy: "key:x")
            }
            try await records.write { transaction in
                try transaction.insert(corp)
                try transaction.insert(other)
                for grant in grants { #expect(try transaction.insert(grant) == grant) }
                #expect(try transaction.issuers() == [corp, other])
                #expect(try Set(transaction.grants()) == Set(grants))
                try transaction.delete(corp)
                #expect(try transaction.grants() == [grants[3]])
            }
        }
    }

    @Test("an issuer's name and URL are taken once")
    func takenIssuer() async throws {
        try await withRecords { records async throws in
            let corp = issuer("corp", "https://one.example")
            try await records.write { try $0.insert(corp) }
            for wrong in [issuer("corp", "https://two.example"), issuer("other", "https://one.example")] {
                await #expect(throws: Problem(.conflict, "")) { try await records.write { try $0.insert(wrong) } }
            }
        }
    }

    @Test("the same grant twice is one, the older")
    func once() async throws {
        try await withRecords { records async throws in
            let namespace = Namespace.made("team")
            let account = account("ci", in: namespace)
            let first = grant(account, .role(.viewer), .namespace(namespace.id))
            let second = grant(account, .role(.viewer), .namespace(namespace.id))
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(account)
                _ = try transaction.insert(first)
                #expect(try transaction.insert(second) == first)
            }
            #expect(try await records.read { try $0.grants() } == [first])
        }
    }

    @Test("a name is taken once in its namespace; another namespace may have it, too")
    func taken() async throws {
        try await withRecords { records async throws in
            let (one, other) = (Namespace.made("one"), Namespace.made("other"))
            let (first, second, third) = (
                account("ci", in: one, hash: 1), account("ci", in: one, hash: 2), account("ci", in: other, hash: 3)
            )
            try await records.write { transaction in
                try transaction.insert(one)
                try transaction.insert(other)
                try transaction.insert(first)
                try transaction.insert(third)
            }
            await #expect(throws: Problem(.conflict, "")) { try await records.write { try $0.insert(second) } }
        }
    }

    @Test("with an account go its keys and grants, with a function the grants on it, with a namespace all of them")
    func cascade() async throws {
        try await withRecords { records async throws in
            let (namespace, other) = (Namespace.made("team"), Namespace.made("other"))
            let function = Function.made("resize", in: namespace)
            let (gone, stays) = (account("gone", in: namespace, hash: 1), account("stays", in: other, hash: 2))
            let (goneKey, staysKey) = (key(gone, hash: 3), key(stays, hash: 4))
            let grants = [
                grant(gone, .role(.admin), .platform), grant(stays, .right(.logsRead), function.resource),
                grant(stays, .role(.viewer), .namespace(namespace.id)), grant(stays, .role(.viewer), .namespace(other.id)),
            ]
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(other)
                try transaction.insert(function)
                for account in [gone, stays] { try transaction.insert(account) }
                for key in [goneKey, staysKey] { try transaction.insert(key) }
                for grant in grants { _ = try transaction.insert(grant) }
                try transaction.delete(gone)
                #expect(try transaction.credentials() == [staysKey])
                #expect(try Set(transaction.grants()) == Set(grants[1...]))
                try transaction.delete(function)
                #expect(try Set(transaction.grants()) == Set(grants[2...]))
                try transaction.delete(namespace)
                #expect(try transaction.grants() == [grants[3]])
            }
        }
    }

    /// An account with a key and an access token.
    private func withCredentials(
        _ body: @Sendable @escaping (Transaction, ServiceAccount, _ key: StoredCredential, _ token: StoredCredential) throws -> Void
    ) async throws {
        try await withRecords { records async throws in
            let namespace = Namespace.made("team")
            let account = account("ci", in: namespace)
            let (api, token) = (key(account, hash: 2), key(account, hash: 3, .accessToken))
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(account)
                try transaction.insert(api)
                try transaction.insert(token)
                try body(transaction, account, api, token)
            }
        }
    }

    @Test("a new client secret ends the access tokens, not the keys")
    func rotate() async throws {
        try await withCredentials { transaction, account, key, _ in
            try transaction.setClientSecret(hash: [UInt8](repeating: 9, count: 32), prefix: "cmc_new", of: account.id, by: "user:a:b")
            #expect(try transaction.credentials() == [key])
            #expect(try transaction.serviceAccount(account.id)?.secretHash == [UInt8](repeating: 9, count: 32))
        }
    }

    @Test("expired access tokens are cleared away; keys stay to be seen")
    func expired() async throws {
        try await withCredentials { transaction, _, key, _ in
            try transaction.deleteExpiredAccessTokens(at: Timestamp(milliseconds: 98))
            #expect(try transaction.credentials().count == 2)
            try transaction.deleteExpiredAccessTokens(at: Timestamp(milliseconds: 99))
            #expect(try transaction.credentials() == [key])
        }
    }

    @Test("of too many access tokens the oldest go, and it is told which; keys are not counted")
    func newest() async throws {
        try await withCredentials { transaction, account, key, token in
            var newer = token
            newer.holder = .serviceAccount(account.id, KeyId(), .accessToken)
            newer.hash = [UInt8](repeating: 4, count: 32)
            newer.created = Timestamp(milliseconds: 8)
            try transaction.insert(newer)
            #expect(try transaction.keepNewest(2, .accessToken, of: account.id) == [])
            #expect(try transaction.keepNewest(1, .accessToken, of: account.id) == [token.hash])
            #expect(try Set(transaction.credentials().map(\.hash)) == [key.hash, newer.hash])
        }
    }

    @Test("the last use is kept with tokens and keys")
    func lastUsed() async throws {
        try await withRecords { records async throws in
            let namespace = Namespace.made("team")
            let account = account("ci", in: namespace)
            let (api, token) = (key(account, hash: 2), StoredCredential.token(namespace, hash: 3))
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(account)
                try transaction.insert(api)
                try transaction.insert(token)
                try transaction.setLastUsed([(api.hash, Timestamp(milliseconds: 50)), ([UInt8](repeating: 77, count: 32), .now)])
                #expect(try transaction.credentials().map(\.lastUsed) == [nil, Timestamp(milliseconds: 50)])
            }
        }
    }

    @Test(
        "what can't be read is an error, never a wider grant",
        arguments: [
            "UPDATE grants SET namespace_id = 'x', function_id = NULL", "UPDATE grants SET permission = 'root'",
            "UPDATE grants SET function_id = 'x'", "PRAGMA ignore_check_constraints = ON; UPDATE grants SET kind = 'user'",
        ])
    func damaged(sql: String) async throws {
        try await withFolder { folder async throws in
            let records = try Records(path: folder + "/casemate.db")
            let namespace = Namespace.made("team")
            let account = account("ci", in: namespace)
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(account)
                _ = try transaction.insert(self.grant(account, .role(.viewer), .namespace(namespace.id)))
            }
            try sqlite(folder + "/casemate.db", sql)
            await #expect(throws: RecordsError.self) { try await records.read { try $0.grants() } }
        }
    }

    @Test("rules for a pipeline's tokens come back as they were, and go with their account, their issuer, or by themselves with its tokens")
    func federations() async throws {
        try await withRecords { records async throws in
            let namespace = Namespace.made("team")
            let (first, second) = (account("ci", in: namespace), account("cd", in: namespace, hash: 2))
            let issuer = issuer("github", "https://github.example")
            func rule(_ account: ServiceAccount) -> Federation {
                Federation(
                    id: FederationId(), account: account.id, issuer: issuer.id, claims: ["ref": "refs/heads/main", "a": "b"],
                    created: Timestamp(milliseconds: 8), createdBy: "key:x")
            }
            let rules = [rule(first), rule(first), rule(second)]
            let (token, kept) = (key(first, hash: 3, .accessToken), key(first, hash: 4))
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(issuer)
                for account in [first, second] { try transaction.insert(account) }
                for rule in rules { try transaction.insert(rule) }
                for credential in [token, kept] { try transaction.insert(credential) }
                #expect(Set(try transaction.federations(of: first.id).map(\.id)) == Set(rules.prefix(2).map(\.id)))
                #expect(try transaction.federations(of: second.id) == [rules[2]])
                #expect(try !transaction.deleteFederation(rules[0].id, of: second.id))
                #expect(try transaction.credentials().count == 2)
                #expect(try transaction.deleteFederation(rules[0].id, of: first.id))
                #expect(try transaction.credentials().map(\.hash) == [kept.hash])
                try transaction.delete(second)
                #expect(try transaction.federations(of: second.id).isEmpty)
                try transaction.delete(issuer)
                #expect(try transaction.federations(of: first.id).isEmpty)
            }
        }
    }
}
