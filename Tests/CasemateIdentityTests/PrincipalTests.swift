import CasemateModel
import Testing

@testable import CasemateIdentity

@Suite("What principals may do")
struct PrincipalTests {
    @Test("without a credential, with a function's token or out of a sandbox there is no right at all")
    func none() {
        let principals: [Principal] = [
            .anonymous, .functionToken(TokenId(), namespace: NamespaceId(), function: nil),
            .function(FunctionId(), FunctionName("plant/caller")!),
        ]
        for principal in principals {
            #expect(principal.rights == GrantedRights.none)
            #expect(!principal.isForAPI)
        }
    }

    @Test("the administrator has every right everywhere", arguments: Right.allCases)
    func all(right: Right) {
        let administrator = Principal.administrator(KeyId())
        #expect(administrator.isForAPI)
        for resource in [Resource.platform, .namespace(NamespaceId()), .function(FunctionId(), in: NamespaceId())] {
            #expect(administrator.rights.has(right, on: resource))
        }
    }

    @Test("records name who it was by an id, never by a credential")
    func subjects() {
        let key = KeyId()
        let token = TokenId()
        #expect(Principal.anonymous.subject == "anonymous")
        #expect(Principal.administrator(key).subject == "key:\(key)")
        #expect(Principal.functionToken(token, namespace: NamespaceId(), function: nil).subject == "token:\(token)")
    }
}
