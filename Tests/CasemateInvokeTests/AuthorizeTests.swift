import CasemateIdentity
import CasemateModel
import Testing

@testable import CasemateInvoke

@Suite("Who may call what")
struct AuthorizeTests {
    private let hidden = InvokeFixture.deployed("team/private")
    private let open = InvokeFixture.deployed("team/open", access: .public)
    private let foreign = InvokeFixture.deployed("other/private", in: InvokeFixture.otherNamespace)
    private let called = InvokeFixture.deployed("team/called", access: .public, callers: ["other/caller"])
    private let young = InvokeFixture.undeployed("team/young")

    private var index: CredentialIndex {
        InvokeFixture.index(
            [
                ("admin", .administrator(KeyId())),
                ("one", .functionToken(TokenId(), namespace: InvokeFixture.namespace, function: hidden.id)),
                ("all", .functionToken(TokenId(), namespace: InvokeFixture.namespace, function: nil)),
                ("crossed", .functionToken(TokenId(), namespace: InvokeFixture.otherNamespace, function: hidden.id)),
            ] + accounts.map { ($0.label.text, .serviceAccount($0.id, KeyId(), .key)) }, accounts: accounts, grants: grants)
    }

    private let accounts = ["caller", "viewer", "nobody", "single"].map { name in
        ServiceAccount(
            id: AccountId(), namespaceId: InvokeFixture.namespace, namespace: NamespaceName("team")!, label: AccountLabel(name)!,
            secretHash: [], secretPrefix: "", created: Timestamp(milliseconds: 0), createdBy: "")
    }

    private var grants: [Grant] {
        let team = Resource.namespace(InvokeFixture.namespace)
        return [
            ("caller", Permission.right(.functionInvoke), team), ("viewer", .role(.viewer), team),
            ("single", .right(.functionInvoke), .function(hidden.id, in: InvokeFixture.namespace)),
        ].map { name, permission, resource in
            Grant(
                id: GrantId(), subject: .serviceAccount(accounts.first { $0.label.text == name }!.id), permission: permission,
                resource: resource, created: Timestamp(milliseconds: 0), createdBy: "")
        }
    }

    @Test("a service account calls what it was granted; what it may know of but not call is 403, the rest 404")
    func serviceAccount() throws {
        #expect(try outcome("team/private", .text("caller", inBearer: true)) == .success(hidden.id))
        #expect(try outcome("team/private", .text("caller")) == .success(hidden.id))
        #expect(try outcome("team/private", .text("viewer")) == .failure(Problem(.forbidden, "")))
        #expect(try outcome("team/private", .text("single")) == .success(hidden.id))
        #expect(try outcome("team/young", .text("single")) == .failure(Problem(.notFound, "")))
        #expect(try outcome("team/private", .text("nobody")) == .failure(Problem(.notFound, "")))
        #expect(try outcome("team/open", .text("nobody")) == .success(open.id))
        for name in ["caller", "viewer", "single", "nobody"] {
            #expect(try outcome("other/private", .text(name)) == .failure(Problem(.notFound, "")), "\(name)")
        }
    }

    /// The function that was authorized, or the problem.
    private func outcome(
        _ target: String, _ credential: PresentedCredential = .none, depth: Int = 0
    ) throws -> Result<FunctionId, Problem> {
        let catalog = Catalog()
        for function in [hidden, open, foreign, young, called] + callers { catalog.put(function) }
        let authenticated = try Authenticate(index: index, issuers: InvokeFixture.issuers, sessions: InvokeFixture.sessions)(
            InvokeFixture.incoming(target, credential, depth: depth))
        do throws(Problem) {
            return .success(
                try Authorize(catalog: catalog, issuers: InvokeFixture.issuers, consents: InvokeFixture.consents)(authenticated)
                    .function.id)
        } catch {
            return .failure(error)
        }
    }

    @Test("without a credential private and unknown functions are alike, to the last word")
    func alike() throws {
        var answers: Set<String> = []
        for target in ["team/private", "team/none", "none/none", "other/private", "team/young", "", "team", "team/", "/", "team/private/"] {
            guard case .failure(let problem) = try outcome(target) else {
                Issue.record("\(target) was authorized")
                continue
            }
            #expect(problem.code == .unauthenticated)
            answers.insert("\(problem) \(problem.reason ?? "") \(problem.retryAfterSeconds ?? 0)")
        }
        #expect(answers.count == 1)
    }

    @Test("anyone may call a public function, with or without a valid credential", arguments: ["admin", "one", "all", "crossed"])
    func publicFunction(credential: String) throws {
        #expect(try outcome("team/open") == .success(open.id))
        #expect(try outcome("team/open", .text(credential)) == .success(open.id))
    }

    @Test("a token for one function calls that one alone")
    func oneFunction() throws {
        #expect(try outcome("team/private", .text("one")) == .success(hidden.id))
        #expect(try outcome("other/private", .text("one")) == .failure(Problem(.notFound, "")))
        #expect(try outcome("team/young", .text("one")) == .failure(Problem(.notFound, "")))
    }

    @Test("a token for a namespace calls all that is in it, and nothing else")
    func oneNamespace() throws {
        #expect(try outcome("team/private", .text("all")) == .success(hidden.id))
        #expect(try outcome("team/young", .text("all")) == .success(young.id))
        #expect(try outcome("other/private", .text("all")) == .failure(Problem(.notFound, "")))
    }

    @Test("a token whose function lies in another namespace than its own calls nothing")
    func crossed() throws {
        for target in ["team/private", "other/private"] {
            #expect(try outcome(target, .text("crossed")) == .failure(Problem(.notFound, "")))
        }
    }

    @Test("to a token's holder another's function and an unknown one are alike")
    func unknown() throws {
        var answers: Set<String> = []
        for target in ["other/private", "other/none", "none/none", "team/none"] {
            guard case .failure(let problem) = try outcome(target, .text("one")) else {
                Issue.record("\(target) was authorized")
                continue
            }
            answers.insert("\(problem.code.slug) \(problem)")
        }
        #expect(answers.count == 1)
    }

    @Test("the administrator calls everything that exists")
    func administrator() throws {
        #expect(try outcome("team/private", .text("admin")) == .success(hidden.id))
        #expect(try outcome("other/private", .text("admin")) == .success(foreign.id))
        #expect(try outcome("team/none", .text("admin")) == .failure(Problem(.notFound, "")))
    }

    @Test(
        "a function's name is taken as it is written",
        arguments: ["TEAM/private", "team/private/", "team//private", "team%2fprivate", "team/private\0"])
    func spelling(target: String) throws { #expect(try outcome(target, .text("admin")) == .failure(Problem(.notFound, ""))) }

    private let callers = ["other/caller", "team/caller"].map { InvokeFixture.deployed($0) }

    private func from(_ caller: String) -> PresentedCredential {
        .sandbox(callers.first { $0.name.description == caller }?.id ?? called.id, FunctionName(caller)!)
    }

    @Test("a function that is deleted calls no other, whoever has its name now")
    func deleted() throws {
        #expect(try outcome("team/called", .sandbox(FunctionId(), FunctionName("other/caller")!)) == .failure(Problem(.notFound, "")))
        #expect(try outcome("team/called", .sandbox(callers[1].id, FunctionName("other/caller")!)) == .failure(Problem(.notFound, "")))
    }

    @Test("a function calls those that list it, and no other, public ones included")
    func listed() throws {
        #expect(try outcome("team/called", from("other/caller")) == .success(called.id))
        #expect(try outcome("team/called", from("team/caller")) == .failure(Problem(.notFound, "")))
        #expect(try outcome("team/called", from("team/called")) == .failure(Problem(.notFound, "")))
        for target in ["team/open", "team/private", "team/young", "team/none", ""] {
            #expect(try outcome(target, from("other/caller")) == .failure(Problem(.notFound, "")), "\(target)")
        }
    }

    @Test("behind sixteen calls no other follows")
    func depth() throws {
        #expect(try outcome("team/called", from("other/caller"), depth: 16) == .success(called.id))
        #expect(try outcome("team/called", from("other/caller"), depth: 17) == .failure(Problem(.loopDetected, "")))
        #expect(try outcome("team/called", from("team/caller"), depth: 17) == .failure(Problem(.notFound, "")), "who may not is not told")
    }
}
