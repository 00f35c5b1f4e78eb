import CasemateDeploy
import CasemateIdentity
import CasemateModel
import Testing

@testable import CasemateServer

@Suite("Who may list addresses")
struct AddressRightTests {
    private let token = Principal.functionToken(TokenId(), namespace: NamespaceId(), function: nil)
    private let function = Principal.function(FunctionId(), FunctionName("plant/caller")!)
    private let names = [AllowedHost("api.example.com:443")!, AllowedHost("*.example.com:443")!]

    @Test("an administrator may list all, others names only")
    func list() throws {
        let addresses = names + [AllowedHost("192.0.2.0/24:443")!]
        try APIServices.mayList(addresses, Principal.administrator(KeyId()).rights, on: .namespace(NamespaceId()))
        for principal in [token, function, .anonymous] {
            try APIServices.mayList(names, principal.rights, on: .namespace(NamespaceId()))
            #expect(throws: Problem(.forbidden, "")) { try APIServices.mayList(addresses, principal.rights, on: .namespace(NamespaceId())) }
        }
    }

    @Test("a deployment carries what whoever asks for it may do")
    func deployment() throws {
        let body = Array(#"{"manifest": "functions: {}", "sources": {}}"#.utf8)
        #expect(try APIServices.deployRequest(body, by: .administrator(KeyId()), rights: { .everything }).0.rights() == .everything)
        #expect(try APIServices.deployRequest(body, by: token, rights: { .none }).0.rights() == .none)
    }
}
