import Testing

@testable import CasemateIdentity

@Suite("What ties a sign-in to its server")
struct SignInNonceTests {
    @Test("another server or another seed make another nonce; a slash at the end says nothing")
    func nonce() {
        let nonce = SignInNonce.make(server: "https://casemate.example", seed: "s")
        #expect(nonce == SignInNonce.make(server: "https://casemate.example/", seed: "s"))
        #expect(nonce.utf8.count == 43)
        for (server, seed) in [
            ("https://casemate.example", "t"), ("https://other.example", "s"), ("http://casemate.example", "s"),
            ("https://casemate.example\ns", ""), ("", "https://casemate.example\ns"),
        ] {
            #expect(nonce != SignInNonce.make(server: server, seed: seed), "\(server) \(seed)")
        }
    }
}
