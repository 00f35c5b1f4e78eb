import CasemateIdentity
import CasemateModel
import CasemateWire
import NIOCore
import NIOEmbedded
import Testing

@testable import CasemateInvoke

@Suite("Which revision runs, and what must hold before")
struct RouteAndAdmitTests {
    private func authorized(_ function: Deployed) throws -> AuthorizedCall {
        let catalog = Catalog()
        catalog.put(function)
        let index = InvokeFixture.index([("admin", .administrator(KeyId()))])
        return try Authorize(catalog: catalog, issuers: InvokeFixture.issuers, consents: InvokeFixture.consents)(
            try Authenticate(index: index, issuers: InvokeFixture.issuers, sessions: InvokeFixture.sessions)(
                InvokeFixture.incoming(function.name.description, .text("admin"))))
    }

    @Test("the active revision's bundle is what runs")
    func active() throws {
        let function = InvokeFixture.deployed("team/fn")
        let routed = try Route()(try authorized(function))
        #expect(routed.bundle.hex == InvokeFixture.digest)
        #expect(routed.revision == function.revision)
        #expect(routed.function.id == function.id)
        #expect(routed.authorized.token == Array("admin".utf8))
    }

    @Test("a function that was never deployed is not found")
    func undeployed() throws {
        let call = try authorized(InvokeFixture.undeployed("team/fn"))
        let problem = #expect(throws: Problem.self) { try Route()(call) }
        #expect(problem?.code == .notFound)
    }

    @Test("a revision whose digest is none does not run")
    func damaged() throws {
        let call = try authorized(InvokeFixture.deployed("team/fn", digest: "../../etc"))
        #expect(throws: Problem.self) { try Route()(call) }
    }

    private func admit(_ function: Deployed, bytes: Int?) throws -> AdmittedCall {
        let routed = try Route()(try authorized(function))
        let body = RequestBody(whole: bytes.map { ByteBuffer(repeating: 1, count: $0) })
        let checked = try CheckInput(loop: EmbeddedEventLoop())(routed, body: body, as: routed.routing)
        return try Admit(maximumRequestBody: 100)(#require(checked))
    }

    @Test("a body up to the limit is admitted, one byte more is not")
    func size() throws {
        let function = InvokeFixture.deployed("team/fn")
        #expect(try admit(function, bytes: 100).body.length == 100)
        #expect(try admit(function, bytes: nil).body.length == 0)
        let problem = #expect(throws: Problem.self) { try admit(function, bytes: 101) }
        #expect(problem?.code == .tooLarge)
    }

    @Test("a secret without a value is named with the command that sets it")
    func secretMissing() throws {
        let function = InvokeFixture.deployed("team/fn", secrets: ["DB_URL", "KEY"], stored: ["DB_URL", "OTHER"])
        let problem = #expect(throws: Problem.self) { try admit(function, bytes: 1) }
        #expect(problem?.code == .secretMissing)
        #expect(problem?.detail.contains("casemate secret set team/fn KEY") == true)
        #expect(problem?.detail.contains("DB_URL") == false)
    }

    @Test("all declared secrets there, the call is admitted; more may be stored than declared")
    func secrets() throws {
        #expect(throws: Never.self) { try admit(InvokeFixture.deployed("team/fn", secrets: ["KEY"], stored: ["A", "KEY"]), bytes: 1) }
    }
}
