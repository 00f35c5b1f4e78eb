import CasemateModel
import CasemateVault
import Foundation
import Testing

@testable import CasemateIdentity

@Suite("The server's own tokens")
struct OwnIssuerTests {
    private let own = OwnIssuer(url: "https://casemate.example", signer: TokenSigner())
    private let name = FunctionName("plant/score")!
    private let audience = "https://calls.example/f/plant/score"
    private let registry = IssuerRegistry(fetch: { _ in [] }, failed: { _, _ in })

    private func verified(_ text: String, at now: Timestamp = .now) -> VerifiedToken? {
        registry.setOwn(own)
        if case .valid(let token) = registry.verify(text, at: now) { return token }
        return nil
    }

    @Test("an access token is taken back for its function and its holder, for ten minutes")
    func accessToken() throws {
        let key = KeyId()
        let now = Timestamp.now
        let text = try own.accessToken(for: .administrator(key), function: name, audience: audience, at: now).text
        let token = try #require(verified(text, at: now))
        #expect(token.isOwn)
        #expect(token.subject == "key:\(key)")
        #expect(token.isFor([audience]))
        #expect(token.scopes == ["fn:plant/score"])
        #expect(verified(text, at: now.advanced(byMilliseconds: 599_000)) != nil)
        // A minute more, by which clocks may differ.
        #expect(verified(text, at: now.advanced(byMilliseconds: 661_000)) == nil)
    }

    @Test("one that is exchanged for what ends soon ends with it", arguments: [(30, 30), (599, 599), (600, 600), (3600, 600), (-5, -5)])
    func lifetime(left: Int64, expected: Int64) throws {
        let now = Timestamp(milliseconds: 1_000_000_000)
        let (_, seconds) = try own.accessToken(
            for: .anonymous, function: name, audience: audience, until: now.advanced(byMilliseconds: left * 1000), at: now)
        #expect(seconds == expected)
    }

    @Test("a token by which a function says who it is is none here, though we signed it")
    func workloadToken() throws {
        let (text, expires) = try own.workloadToken(for: name, FunctionId(), audience: audience, seal: CredentialSeal())
        #expect(verified(text) == nil)
        #expect(expires.milliseconds - Timestamp.now.milliseconds <= 900_000)
    }

    @Test("another server's, and one that says another type or key, are refused")
    func forged() throws {
        let holder = Principal.administrator(KeyId())
        let other = OwnIssuer(url: own.url, signer: TokenSigner())
        #expect(verified(try other.accessToken(for: holder, function: name, audience: audience).text) == nil)
        let text = try own.accessToken(for: holder, function: name, audience: audience).text
        let parts = text.split(separator: ".").map(String.init)
        for header in [
            #"{"alg":"ES256","typ":"JWT","kid":"x"}"#, #"{"alg":"none","typ":"at+jwt"}"#, #"{"alg":"HS256","typ":"at+jwt"}"#,
            #"{"alg":"ES256","typ":"at+jwt"}"#,
        ] {
            #expect(verified(Base64URL.encode(Array(header.utf8)) + "." + parts[1] + "." + parts[2]) == nil, "\(header)")
        }
        for claims in [#"{"iss":"https://casemate.example","sub":"key:x","aud":"a","exp":9999999999}"#] {
            #expect(verified(parts[0] + "." + Base64URL.encode(Array(claims.utf8)) + "." + parts[2]) == nil)
        }
    }

    @Test("its holder is found again as they are now, and not once they are gone")
    func holder() throws {
        let index = CredentialIndex()
        let key = KeyId()
        let account = ServiceAccount(
            id: AccountId(), namespaceId: NamespaceId(), namespace: NamespaceName("plant")!, label: AccountLabel("ci")!, secretHash: [],
            secretPrefix: "", created: Timestamp(milliseconds: 0), createdBy: "")
        let stored = StoredCredential(
            holder: .administrator(key), hash: Credential("secret")!.hash.bytes, prefix: "", description: "", created: .now, expires: nil)
        let resource = Resource.namespace(account.namespaceId)
        let grant = Grant(
            id: GrantId(), subject: .serviceAccount(account.id), permission: .right(.functionInvoke), resource: resource, created: .now,
            createdBy: "")
        let keyOfAccount = KeyId()
        let second = StoredCredential(
            holder: .serviceAccount(account.id, keyOfAccount, .key), hash: Credential("another")!.hash.bytes, prefix: "", description: "",
            created: .now, expires: Timestamp.now.advanced(byMilliseconds: 60_000))
        index.load(AccessRecords(credentials: [stored, second], accounts: [account], grants: [grant]))
        func holder(_ principal: Principal) throws -> Principal? {
            let token = try #require(verified(try own.accessToken(for: principal, function: name, audience: audience).text))
            return index.holder(of: token) { _ in nil }
        }
        let machine = Principal.serviceAccount(AccountPrincipal(account, key: keyOfAccount, rights: .none))
        #expect(try holder(.administrator(key)) == .administrator(key))
        #expect(try holder(.administrator(KeyId())) == nil)
        #expect(try holder(machine)?.rights.on(resource) == Rights(.functionInvoke))
        #expect(try holder(.serviceAccount(AccountPrincipal(account, rights: .none))) == nil)
        #expect(try holder(.serviceAccount(AccountPrincipal(account, key: KeyId(), rights: .none))) == nil)
        index.load(AccessRecords(credentials: [second], accounts: [account]))
        #expect(try holder(.administrator(key)) == nil)
        #expect(try holder(machine)?.rights.on(resource) == [])
        // The account is there, the key that was exchanged is not.
        index.load(AccessRecords(credentials: [], accounts: [account], grants: [grant]))
        #expect(try holder(machine) == nil)
    }

    @Test("a person's is theirs while their issuer is trusted, with the groups that were granted something")
    func person() throws {
        let issuer = Issuer(
            id: IssuerId(), name: IssuerLabel("idp")!, url: "https://idp.example", audiences: ["casemate"], created: .now, createdBy: "")
        let index = CredentialIndex()
        let resource = Resource.platform
        index.load(
            AccessRecords(
                credentials: [],
                grants: [
                    Grant(
                        id: GrantId(), subject: .group(issuer.id, "ops"), permission: .right(.functionInvoke), resource: resource,
                        created: .now, createdBy: "")
                ]))
        let person = Principal.person(
            PersonPrincipal(issuer: issuer, id: "a:b/c", username: "alice", groups: ["ops", "others"], rights: .none))
        let token = try #require(verified(try own.accessToken(for: person, function: name, audience: audience).text))
        #expect(index.holder(of: token) { _ in nil } == nil)
        let found = try #require(index.holder(of: token) { $0 == issuer.id ? issuer : nil })
        #expect(found.subject == "user:idp:alice")
        #expect(found.identity == person.identity)
        #expect(found.rights.has(.functionInvoke, on: resource))
        guard case .person(let known) = found else { return }
        #expect(known.groups == ["ops"])
    }
}
