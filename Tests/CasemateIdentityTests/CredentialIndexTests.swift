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
    func empty() { #expect(CredentialIndex().principal(presenting: credential) == nil) }

    @Test("a token's holder is who it was made for")
    func known() {
        let index = CredentialIndex()
        let key = KeyId()
        let admin = Credential("cma_admin")!
        index.load([
            stored(credential, expires: later, .functionToken(token, namespace: namespace, function: function)),
            stored(admin, expires: nil, .administrator(key)),
        ])
        #expect(index.principal(presenting: credential) == .functionToken(token, namespace: namespace, function: function))
        #expect(index.principal(presenting: admin) == .administrator(key))
    }

    @Test("an unknown credential has no holder", arguments: ["cmt_know", "cmt_known2", "CMT_KNOWN", "cmt_"])
    func unknown(text: String) throws {
        let index = CredentialIndex()
        index.load([stored(credential, expires: later, .functionToken(token, namespace: namespace, function: nil))])
        #expect(index.principal(presenting: try #require(Credential(text))) == nil)
    }

    @Test("the stored hash is no credential")
    func hash() throws {
        let index = CredentialIndex()
        index.load([stored(credential, expires: later, .functionToken(token, namespace: namespace, function: nil))])
        let hex = credential.hash.bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(index.principal(presenting: try #require(Credential(hex))) == nil)
    }

    @Test("an expired credential has no holder, also an administrator's", arguments: [-1, -86_400_000, -1_000_000_000] as [Int64])
    func expired(milliseconds: Int64) {
        let index = CredentialIndex()
        for holder in [StoredCredential.Holder.functionToken(token, namespace: namespace, function: nil), .administrator(KeyId())] {
            index.load([stored(credential, expires: Timestamp.now.advanced(byMilliseconds: milliseconds), holder)])
            #expect(index.principal(presenting: credential) == nil)
            index.load([stored(credential, expires: later, holder)])
            #expect(index.principal(presenting: credential) != nil)
        }
    }

    @Test("a revoked credential stops with the next load")
    func revoked() {
        let index = CredentialIndex()
        index.load([stored(credential, expires: later, .administrator(KeyId()))])
        #expect(index.principal(presenting: credential) != nil)
        index.load([])
        #expect(index.principal(presenting: credential) == nil)
    }

    @Test("a stored hash that is none is left out, and keeps no other out")
    func damaged() {
        let index = CredentialIndex()
        var wrong = stored(credential, expires: later, .administrator(KeyId()))
        wrong.hash = [1, 2, 3]
        index.load([wrong, stored(credential, expires: later, .functionToken(token, namespace: namespace, function: nil))])
        #expect(index.principal(presenting: credential) == .functionToken(token, namespace: namespace, function: nil))
    }
}
