import CasemateModel
import Testing

@Suite("Whose word a deployment needs")
struct SupplyChainPolicyTests {
    private static func signer(_ name: String = "ada", from: Int64? = nil, until: Int64? = nil) -> SupplyChainPolicy.Signer {
        SupplyChainPolicy.Signer(
            name: name, key: "ssh-ed25519 \(name)", fingerprint: "SHA256:\(name)", from: from.map { Timestamp(milliseconds: $0) },
            until: until.map { Timestamp(milliseconds: $0) })
    }

    private static func revision(signer: String? = "ada", at time: Int64 = 10) -> Revision {
        var revision = Revision(
            id: RevisionId(), functionId: FunctionId(), number: 1, bundleDigest: "", sourceDigest: "", specBytes: [], lock: nil,
            findings: [],
            created: Timestamp(milliseconds: time), createdBy: "x")
        revision.signer = signer.map { DeploymentSigner(name: $0, key: "SHA256:\($0)") }
        // It may be promoted, or granted something, long after.
        revision.created = Timestamp(milliseconds: 1_000_000)
        revision.signedAt = Timestamp(milliseconds: time)
        return revision
    }

    @Test("without a rule everything may run")
    func none() { #expect(SupplyChainPolicy().refusal(of: Self.revision(signer: nil), isReviewed: false) == nil) }

    @Test("a signature counts if its key is listed, and was valid when it was made")
    func signatures() {
        let policy = SupplyChainPolicy(requireSignature: true, signers: [Self.signer(from: 10, until: 20)])
        func refusal(_ revision: Revision) -> String? { policy.refusal(of: revision, isReviewed: false) }
        #expect(refusal(Self.revision()) == nil)
        #expect(refusal(Self.revision(at: 19)) == nil, "what was signed in time goes on when the time is over")
        #expect(refusal(Self.revision(at: 9)) != nil)
        #expect(refusal(Self.revision(at: 20)) != nil)
        #expect(refusal(Self.revision(signer: nil)) != nil)
        #expect(refusal(Self.revision(signer: "eve")) != nil)
    }

    @Test("a review counts whoever signed")
    func reviews() {
        let policy = SupplyChainPolicy(requireReview: true)
        #expect(policy.refusal(of: Self.revision(signer: nil), isReviewed: false) != nil)
        #expect(policy.refusal(of: Self.revision(signer: nil), isReviewed: true) == nil)
    }

    @Test("what loosens is told by its name")
    func loosened() {
        let strict = SupplyChainPolicy(
            requireSignature: true, signers: [Self.signer(until: 5)], requireApproval: [.egress], requireReview: true, production: true)
        #expect(strict.loosened(from: strict).isEmpty)
        func loosened(_ change: (inout SupplyChainPolicy) -> Void) -> [String] {
            var policy = strict
            change(&policy)
            return policy.loosened(from: strict)
        }
        #expect(loosened { $0.requireSignature = false } == ["requireSignature"])
        #expect(loosened { $0.requireReview = false } == ["requireReview"])
        #expect(loosened { $0.production = false } == ["production"])
        #expect(loosened { $0.promoteFrom = [] }.isEmpty)
        let from = SupplyChainPolicy(promoteFrom: [NamespaceName("plant")!])
        #expect(SupplyChainPolicy().loosened(from: from) == ["promoteFrom"])
        #expect(SupplyChainPolicy(promoteFrom: [NamespaceName("other")!]).loosened(from: from) == ["promoteFrom"])
        #expect(SupplyChainPolicy(promoteFrom: []).loosened(from: from).isEmpty)
        #expect(loosened { $0.requireApproval = [] } == ["requireApproval"])
        #expect(loosened { $0.requireApproval = [.dependencies] } == ["requireApproval"])
        #expect(loosened { $0.requireApproval = [.all] }.isEmpty)
        #expect(loosened { $0.requireApproval = [.egress, .access] }.isEmpty)
        #expect(loosened { $0.signers.append(Self.signer("eve")) } == ["signers"])
        #expect(loosened { $0.signers = [Self.signer(until: 6)] } == ["signers"])
        #expect(loosened { $0.signers = [Self.signer()] } == ["signers"])
        #expect(loosened { $0.signers = [Self.signer(until: 4)] }.isEmpty)
        #expect(loosened { $0.signers = [Self.signer(from: 1, until: 5)] }.isEmpty)
        #expect(loosened { $0.signers = [] }.isEmpty)
        #expect(strict.loosened(from: SupplyChainPolicy()) == ["signers"])
    }

    @Test("what a change is, for whoever may have to approve it")
    func kinds() throws {
        let before = FunctionSpec(runtime: "python3.11", handler: "a.b")
        func kinds(lock: Bool = false, _ change: (inout FunctionSpec) -> Void) -> Set<ApprovalKind> {
            var after = before
            change(&after)
            return ApprovalKind.kinds(from: before, to: after, isLockChanged: lock).subtracting([.all])
        }
        let host = try #require(AllowedHost(name: "api.example.com", port: 443))
        #expect(kinds { _ in }.isEmpty)
        #expect(ApprovalKind.kinds(from: before, to: before, isLockChanged: false) == [.all])
        #expect(kinds(lock: true) { _ in } == [.dependencies])
        #expect(kinds { $0.egress = [host] } == [.egress])
        #expect(kinds { $0.grantedEgress = [host] } == [.egress])
        var reaching = before
        reaching.egress = [host]
        #expect(ApprovalKind.kinds(from: reaching, to: before, isLockChanged: false) == [.all, .egress])
        #expect(kinds { $0.access = .public } == [.access])
        #expect(kinds { $0.callers = [FunctionName("a/b")!] } == [.access])
        #expect(kinds { $0.secretsInResponse = .allow } == [.access])
        #expect(kinds { $0.secretsInResponse = .block }.isEmpty)
        #expect(kinds { $0.capabilities = [Capability("a/b:invoke")!] } == [.capabilities])
        #expect(kinds { $0.audiences = ["https://a.example"] } == [.capabilities])
        #expect(kinds { $0.limits.memoryInBytes *= 2 }.isEmpty)
    }

    @Test("to take away is nothing that somebody else has to look at, but for those who look at everything")
    func less() {
        var before = FunctionSpec(runtime: "python3.11", handler: "a.b", access: .public)
        before.capabilities = [Capability("a/b:invoke")!]
        let after = FunctionSpec(runtime: "python3.11", handler: "a.b")
        #expect(ApprovalKind.kinds(from: before, to: after, isLockChanged: false) == [.all])
        #expect(SupplyChainPolicy(requireApproval: [.egress]).needed([.all]).isEmpty)
        #expect(SupplyChainPolicy(requireApproval: [.all, .egress]).needed([.all]) == [.all])
        #expect(SupplyChainPolicy(requireReview: true).needed([.all, .egress]) == [.all])
    }

    @Test("a new function is all that it may")
    func first() {
        let spec = FunctionSpec(runtime: "python3.11", handler: "a.b", access: .public)
        #expect(ApprovalKind.kinds(from: nil, to: spec, isLockChanged: true) == [.all, .access, .dependencies])
    }
}
