import CasemateModel
import Foundation
import Testing

@Suite("A secret that is put in on the way")
struct InjectedSecretTests {
    private func secret(_ format: String?) -> InjectedSecret {
        InjectedSecret(name: VariableName("K")!, host: AllowedHost("a.example:443")!, header: "Authorization", format: format)
    }

    @Test("stands where the format says, also where it looks like a format itself")
    func rendered() {
        #expect(secret(nil).rendered("v") == "v")
        #expect(secret("Bearer {}").rendered("v") == "Bearer v")
        #expect(secret("a={};b").rendered("{}") == "a={};b")
    }

    @Test("is written and read back")
    func coding() throws {
        for one in [secret(nil), secret("Bearer {}")] {
            #expect(try JSONDecoder().decode(InjectedSecret.self, from: JSONEncoder().encode(one)) == one)
        }
    }
}
