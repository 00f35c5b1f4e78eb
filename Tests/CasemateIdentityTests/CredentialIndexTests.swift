import CasemateModel
import Testing

@testable import CasemateIdentity

@Suite("The index of valid credentials")
struct CredentialIndexTests {
    private let credential = Credential("cmt_known")!
    private let namespace = NamespaceId()
    private let token = TokenId()
    private let function = FunctionId()

    private func stored(_ credential: Credential, expires: Timestamp?, _ holder: StoredCredential.Holder) -> StoredCredential {
        StoredCredential(
            holder: holder, hash: credential.hash.bytes, prefix: "cmt_", description: "", created: Timestamp(milliseconds: 0),
            expires: expires)
    }

    private var later: Timestamp { Timestamp.now.advanced(byMilliseconds: 3_600_000) }

    @Test("an empty index knows nobody")
    func empty() throws { #expect(try CredentialIndex().principal(presenting: credential, from: nil) == nil) }

    @Test("a token's holder is who it was made for")
    func known() throws {
        let index = CredentialIndex()
        let key = KeyId()
        let admin = Credential("cma_admin")!
        index.load(
            AccessRecords(credentials: [
                stored(credential, expires: later, .functionToken(token, namespace: namespace, function: function)),
                stored(admin, expires: nil, .administrator(key)),
            ]))
        #expect(try index.principal(presenting: credential, from: nil) == .functionToken(token, namespace: namespace, function: function))
        #expect(try index.principal(presenting: admin, from: nil) == .administrator(key))
    }

    @Test("an unknown credential has no holder", arguments: ["cmt_know", "cmt_known2", "CMT_KNOWN", "cmt_"])
    func unknown(text: String) throws {
        let index = CredentialIndex()
        index.load(
            AccessRecords(credentials: [stored(credential, expires: later, .functionToken(token, namespace: namespace, function: nil))]))
        #expect(try index.principal(presenting: try #require(Credential(text)), from: nil) == nil)
    }

    @Test("the stored hash is no credential")
    func hash() throws {
        let index = CredentialIndex()
        index.load(
            AccessRecords(credentials: [stored(credential, expires: later, .functionToken(token, namespace: namespace, function: nil))]))
        let hex = credential.hash.bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(try index.principal(presenting: try #require(Credential(hex)), from: nil) == nil)
    }

    @Test("an expired credential has no holder, also an administrator's", arguments: [-1, -86_400_000, -1_000_000_000] as [Int64])
    func expired(milliseconds: Int64) throws {
        let index = CredentialIndex()
        for holder in [StoredCredential.Holder.functionToken(token, namespace: namespace, function: nil), .administrator(KeyId())] {
            index.load(
                AccessRecords(credentials: [stored(credential, expires: Timestamp.now.advanced(byMilliseconds: milliseconds), holder)]))
            #expect(try index.principal(presenting: credential, from: nil) == nil)
            index.load(AccessRecords(credentials: [stored(credential, expires: later, holder)]))
            #expect(try index.principal(presenting: credential, from: nil) != nil)
        }
    }

    @Test("a revoked credential stops with the next load")
    func revoked() throws {
        let index = CredentialIndex()
        index.load(AccessRecords(credentials: [stored(credential, expires: later, .administrator(KeyId()))]))
        #expect(try index.principal(presenting: credential, from: nil) != nil)
        index.load(AccessRecords(credentials: []))
        #expect(try index.principal(presenting: credential, from: nil) == nil)
    }

    @Test("a stored hash that is none is left out, and keeps no other out")
    func damaged() throws {
        let index = CredentialIndex()
        var wrong = stored(credential, expires: later, .administrator(KeyId()))
        wrong.hash = [1, 2, 3]
        index.load(
            AccessRecords(credentials: [
                wrong, stored(credential, expires: later, .functionToken(token, namespace: namespace, function: nil)),
            ]))
        #expect(try index.principal(presenting: credential, from: nil) == .functionToken(token, namespace: namespace, function: nil))
    }

    private func account(_ secret: String) -> ServiceAccount {
        ServiceAccount(
            id: AccountId(), namespaceId: namespace, namespace: NamespaceName("plant")!, label: AccountLabel("ci")!,
            secretHash: Credential(secret)!.hash.bytes, secretPrefix: "", created: Timestamp(milliseconds: 0), createdBy: "")
    }

    @Test("a service account's key stands for the account, with what it is granted")
    func serviceAccount() throws {
        let index = CredentialIndex()
        let account = account("cmc_secret")
        let grant = Grant(
            id: GrantId(), subject: .serviceAccount(account.id), permission: .role(.deployer), resource: .namespace(namespace),
            created: Timestamp(milliseconds: 0), createdBy: "")
        let key = stored(credential, expires: later, .serviceAccount(account.id, KeyId(), .key))
        index.load(AccessRecords(credentials: [key], accounts: [account], grants: [grant]))
        let principal = try #require(try index.principal(presenting: credential, from: nil))
        #expect(principal.subject == "service-account:plant/ci")
        #expect(principal.rights.on(.namespace(namespace)) == Role.deployer.rights(on: .namespace(namespace)))
        index.load(AccessRecords(credentials: [key], accounts: [account], grants: []))
        #expect(
            try index.principal(presenting: credential, from: nil)?.rights == GrantedRights.none,
            "what was taken back is gone with the load")
        index.load(AccessRecords(credentials: [key], accounts: [], grants: [grant]))
        #expect(try index.principal(presenting: credential, from: nil) == nil, "a key without its account is nobody's")
    }

    @Test("a client secret is no key, and opens its own account alone")
    func clientSecret() throws {
        let index = CredentialIndex()
        let (one, other) = (account("cmc_one"), account("cmc_other"))
        index.load(AccessRecords(credentials: [], accounts: [one, other]))
        #expect(try index.account(one.id, presenting: Credential("cmc_one")!, from: nil) == one)
        #expect(try index.account(one.id, presenting: Credential("cmc_other")!, from: nil) == nil)
        #expect(try index.account(AccountId(), presenting: Credential("cmc_one")!, from: nil) == nil)
        #expect(try index.principal(presenting: Credential("cmc_one")!, from: nil) == nil)
    }

    @Test("a use is told once, and survives a load in between")
    func uses() throws {
        let index = CredentialIndex()
        let records = AccessRecords(credentials: [
            stored(credential, expires: later, .functionToken(token, namespace: namespace, function: nil))
        ])
        index.load(records)
        #expect(index.takeUses().isEmpty)
        _ = try index.principal(presenting: credential, from: nil)
        index.load(records)
        let taken = index.takeUses()
        #expect(taken.map(\.hash) == [credential.hash.bytes])
        #expect(abs(try #require(taken.first).at.milliseconds - Timestamp.now.milliseconds) < 60_000)
        #expect(index.takeUses().isEmpty)
    }

    @Test("an expired credential is not used")
    func expiredUse() throws {
        let index = CredentialIndex()
        index.load(AccessRecords(credentials: [stored(credential, expires: Timestamp(milliseconds: 1), .administrator(KeyId()))]))
        _ = try index.principal(presenting: credential, from: nil)
        #expect(index.takeUses().isEmpty)
    }

    private let place = CallerSource("192.0.2.1")!
    private let elsewhere = CallerSource("192.0.2.2")!

    /// As many wrong ones as may come at once, and one more.
    private func guess(_ index: CredentialIndex, from source: CallerSource) throws {
        for number in 0..<GuessLimit.burst {
            #expect(try index.principal(presenting: Credential("cmt_guess\(number)")!, from: source) == nil)
        }
        #expect(throws: Problem(.rateLimited, "")) { try index.principal(presenting: Credential("cmt_one-more")!, from: source) }
    }

    @Test("whoever guesses is held back there, and nobody elsewhere")
    func guesses() throws {
        let index = CredentialIndex()
        index.load(AccessRecords(credentials: [stored(credential, expires: later, .administrator(KeyId()))]))
        try guess(index, from: place)
        #expect(throws: Problem(.rateLimited, "")) { try index.principal(presenting: credential, from: place) }
        #expect(try index.principal(presenting: credential, from: elsewhere) != nil)
        #expect(try index.principal(presenting: credential, from: nil) != nil)
    }

    @Test("who was known at a place before passes, whoever guesses there; also after a load, and from two places in turn")
    func knownPlace() throws {
        let index = CredentialIndex()
        let records = AccessRecords(credentials: [stored(credential, expires: later, .administrator(KeyId()))])
        index.load(records)
        _ = try index.principal(presenting: credential, from: place)
        _ = try index.principal(presenting: credential, from: elsewhere)
        try guess(index, from: place)
        index.load(records)
        for _ in 0..<3 {
            #expect(try index.principal(presenting: credential, from: place) != nil)
            #expect(try index.principal(presenting: credential, from: elsewhere) != nil)
        }
    }

    @Test("client secrets are guessed no faster")
    func clientSecretGuesses() throws {
        let index = CredentialIndex()
        let account = account("cmc_one")
        index.load(AccessRecords(credentials: [], accounts: [account]))
        for _ in 0..<GuessLimit.burst {
            #expect(try index.account(account.id, presenting: Credential("cmc_guess")!, from: place) == nil)
        }
        for secret in ["cmc_guess", "cmc_one"] {
            #expect(throws: Problem(.rateLimited, "")) { try index.account(account.id, presenting: Credential(secret)!, from: place) }
        }
        #expect(try index.account(account.id, presenting: Credential("cmc_one")!, from: elsewhere) == account)
    }
}
