import CasemateModel
import Testing

@testable import CasemateIdentity

@Suite("Rights")
struct RightTests {
    @Test("nobody and a function's token have no right but anyone's", arguments: Right.allCases)
    func none(right: Right) {
        for principal in [
            Principal.anonymous, .functionToken(TokenId(), namespace: NamespaceId(), function: nil),
            .functionToken(TokenId(), namespace: NamespaceId(), function: FunctionId()),
        ] { #expect(principal.has(right) == (right == .anyone)) }
    }

    @Test("the administrator has every right", arguments: Right.allCases)
    func all(right: Right) { #expect(Principal.administrator(KeyId()).has(right)) }

    @Test("records name the holder by an id, never by a credential")
    func subject() {
        let token = TokenId()
        let key = KeyId()
        #expect(Principal.anonymous.subject == "anonymous")
        #expect(Principal.administrator(key).subject == "key:\(key)")
        #expect(Principal.functionToken(token, namespace: NamespaceId(), function: nil).subject == "token:\(token)")
    }
}
