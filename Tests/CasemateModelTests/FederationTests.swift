import Testing

@testable import CasemateModel

@Suite("Whose tokens stand for an account")
struct FederationTests {
    private func isMet(_ rule: [String: String], by token: [String: String]) -> Bool {
        Federation(
            id: FederationId(), account: AccountId(), issuer: IssuerId(), claims: rule, created: Timestamp(milliseconds: 0), createdBy: ""
        ).isMet { token[$0] }
    }

    @Test("those that say everything the rule says, the same to the byte")
    func met() {
        let rule = ["repository": "acme/plant", "ref": "refs/heads/main"]
        #expect(isMet(rule, by: rule))
        #expect(isMet(rule, by: rule.merging(["actor": "alice"]) { $1 }))
        #expect(!isMet(rule, by: ["repository": "acme/plant"]))
        for other in ["acme-plant", "acme/plan", "acme/plant2", "Acme/plant", "acme/plant "] {
            #expect(!isMet(rule, by: rule.merging(["repository": other]) { $1 }), "\(other)")
        }
        // Equal to Swift, and other bytes.
        #expect(!isMet(["ref": "caf\u{e9}"], by: ["ref": "cafe\u{301}"]))
    }

    @Test("a rule without a claim lets nobody in")
    func empty() { #expect(!isMet([:], by: ["repository": "acme/plant"])) }

    @Test("a rule says something that not every token says")
    func fit() {
        #expect(Federation.areFit(["sub": "repo:acme/plant:ref:refs/heads/main"]))
        for claims in [
            [:], ["iss": "a"], ["aud": "a", "sub": "b"], ["exp": "1"], ["": "a"], ["sub": ""], ["sub": String(repeating: "x", count: 513)],
            Dictionary(uniqueKeysWithValues: (0...16).map { ("c\($0)", "x") }),
        ] {
            #expect(!Federation.areFit(claims), "\(claims)")
        }
    }
}
