import CasemateIdentity
import CasemateModel
import Testing

@testable import CasemateInvoke

@Suite("Whom a revision may act for")
struct AgreementTests {
    private let issuer = Issuer(
        id: IssuerId(), name: IssuerLabel("corp")!, url: "https://idp.example", audiences: [], created: Timestamp(milliseconds: 0),
        createdBy: "")
    private let hidden = InvokeFixture.deployed("team/hidden")
    private let open = InvokeFixture.deployed("team/open", access: .public)
    private let foreign = InvokeFixture.deployed("other/open", in: InvokeFixture.otherNamespace, access: .public)
    private let consents = Consents()

    /// Alice has signed in, and may call what is in `team`.
    private var index: CredentialIndex {
        let index = CredentialIndex()
        let alice = SignedInPerson(issuer: issuer.id, subject: "a1", username: "alice", groups: ["ops"])
        func stored(_ text: String, _ holder: StoredCredential.Holder) -> StoredCredential {
            StoredCredential(
                holder: holder, hash: Credential(text)!.hash.bytes, prefix: "", description: "", created: Timestamp(milliseconds: 0),
                expires: Timestamp.now.advanced(byMilliseconds: 60_000))
        }
        let grant = Grant(
            id: GrantId(), subject: .group(issuer.id, "ops"), permission: .right(.functionInvoke),
            resource: .namespace(InvokeFixture.namespace), created: Timestamp(milliseconds: 0), createdBy: "")
        index.load(
            AccessRecords(
                credentials: [stored("alice", .person(SessionId(), alice)), stored("admin", .administrator(KeyId()))], grants: [grant],
                issuers: [issuer]))
        return index
    }

    private var identity: String { "person:\(issuer.id):a1" }

    private func agree(to function: Deployed) {
        consents.add(Consent(identity: identity, revision: function.revision!.id, created: Timestamp(milliseconds: 5)))
    }

    private func call(_ function: Deployed, as credential: String) throws -> Result<Principal, Problem> {
        let catalog = Catalog()
        for function in [hidden, open, foreign, function] { catalog.put(function) }
        let authenticated = try Authenticate(index: index, issuers: InvokeFixture.issuers, sessions: InvokeFixture.sessions)(
            InvokeFixture.incoming(function.name.description, .text(credential, inBearer: true)))
        let authorize = Authorize(catalog: catalog, issuers: InvokeFixture.issuers, consents: consents)
        return Result { () throws(Problem) in try authorize(authenticated).principal }
    }

    @Test("a person who has signed in is asked, for each revision, public ones too")
    func asked() throws {
        for function in [hidden, open] {
            #expect(try call(function, as: "alice") == .failure(Problem(.consentRequired, "")))
            agree(to: function)
            #expect(try call(function, as: "alice").get().subject == "user:corp:alice")
            #expect(try call(InvokeFixture.deployed(function.name.description), as: "alice") == .failure(Problem(.consentRequired, "")))
            consents.remove(identity, function.revision!.id)
            #expect(try call(function, as: "alice") == .failure(Problem(.consentRequired, "")))
        }
    }

    @Test("who could not agree to a public function calls it as anybody does")
    func anybody() throws { #expect(try call(foreign, as: "alice") == .success(.anonymous)) }

    @Test("a machine is not asked")
    func machine() throws { #expect(try call(hidden, as: "admin").get().isMachine) }

    @Test(
        "a machine calls what its namespace's policy lets it",
        arguments: [
            (NamespacePolicy.Machines(), true), (.init(signers: ["key"]), true), (.init(signers: ["other"]), false),
            (.init(signers: []), false),
            (.init(capabilities: [Capability("a/b:invoke")!]), true), (.init(capabilities: []), false),
            (.init(signers: ["key"], capabilities: [Capability("a/b:logs:read")!]), false),
        ])
    func policy(machines: NamespacePolicy.Machines, isAllowed: Bool) throws {
        let able = InvokeFixture.deployed("team/able", capabilities: ["a/b:invoke"], policy: NamespacePolicy(machines: machines))
        switch try call(able, as: "admin") {
        case .success: #expect(isAllowed)
        case .failure(let problem): #expect(!isAllowed && problem.code == .forbidden)
        }
        agree(to: able)
        #expect(try call(able, as: "alice").get().isSignedIn, "people are asked instead")
    }
}
