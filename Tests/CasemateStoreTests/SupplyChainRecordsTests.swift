import CasemateModel
import Foundation
import Testing

@testable import CasemateStore

@Suite("Records of approvals, pins and splits")
struct SupplyChainRecordsTests {
    private func withFunction(_ body: (Records, Function) async throws -> Void) async throws {
        try await withRecords { records async throws in
            let namespace = Namespace.made("team")
            let function = Function.made("resize", in: namespace)
            try await records.write { transaction in
                try transaction.insert(namespace)
                try transaction.insert(function)
            }
            try await body(records, function)
        }
    }

    private static func revision(of function: Function, _ number: Int, _ state: RevisionState = .ready) -> Revision {
        var revision = Revision(
            id: RevisionId(), functionId: function.id, number: number, bundleDigest: "b\(number)", sourceDigest: "s", specBytes: [1],
            lock: nil, findings: [], signature: [7], created: Timestamp(milliseconds: Int64(number)), createdBy: "user:a:b")
        revision.digest = "d\(number)"
        revision.provenanceDigest = "p"
        revision.authorIdentity = "person:a:b"
        revision.signer = DeploymentSigner(name: "ada, \"the first\"", key: "SHA256:x")
        revision.state = state
        revision.needsApproval = state == .pendingApproval ? [.dependencies, .egress] : []
        revision.origin = RevisionOrigin(function: FunctionName("plant/hello")!, revision: 3, digest: "sha256:e")
        return revision
    }

    @Test("a revision comes back with all that it is, and its evidence")
    func roundTrip() async throws {
        try await withFunction { records, function async throws in
            var revision = Self.revision(of: function, 1, .pendingApproval)
            revision.base = RevisionId()
            revision.isPinned = true
            let stored = revision
            try await records.write {
                try $0.insert(
                    stored, BundleContents(), RevisionEvidence(provenance: [1, 2], statement: "a\n", signature: "-----BEGIN"))
            }
            #expect(try await records.read { try $0.revision(stored.id) } == stored)
            #expect(try await records.read { try $0.revision(1, of: function.id) } == stored)
            #expect(try await records.read { try $0.revision(2, of: function.id) } == nil)
            let evidence = try await records.read { try $0.evidence(of: stored.id) }
            #expect(evidence.provenance == [1, 2] && evidence.statement == "a\n" && evidence.signature == "-----BEGIN")
        }
    }

    @Test("what waits is listed until something takes its place")
    func pending() async throws {
        try await withFunction { records, function async throws in
            let (ready, waits) = (Self.revision(of: function, 1), Self.revision(of: function, 2, .pendingApproval))
            try await records.write {
                try $0.insert(ready)
                try $0.insert(waits)
            }
            #expect(try await records.read { try $0.pendingRevision(of: function.id)?.id } == waits.id)
            #expect(try await records.read { try $0.pendingRevisions(in: function.namespaceId).map(\.number) } == [2])
            try await records.write { try $0.supersedePending(of: function.id) }
            #expect(try await records.read { try $0.pendingRevision(of: function.id) } == nil)
            #expect(try await records.read { try $0.revision(waits.id)?.state } == .superseded)
            #expect(try await records.read { try $0.revision(ready.id)?.state } == .ready)
        }
    }

    @Test("an approval is one's, once, and goes with its revision")
    func approvals() async throws {
        try await withFunction { records, function async throws in
            let revision = Self.revision(of: function, 1)
            let approval = Approval(
                revision: revision.id, digest: "d1", by: "user:a:c", identity: "person:a:c", comment: "fine",
                created: Timestamp(milliseconds: 9),
                signature: [1])
            try await records.write {
                try $0.insert(revision)
                try $0.insert(approval)
            }
            #expect(try await records.read { try $0.approvals(of: revision.id) } == [approval])
            // Given anew it takes the place of the one that came along.
            var later = approval
            (later.created, later.comment) = (Timestamp(milliseconds: 10), "again")
            try await records.write { [later] in try $0.insert(later) }
            #expect(try await records.read { try $0.approvals(of: revision.id) } == [later])
            try await records.write { try $0.deleteRevision(revision.id) }
            #expect(try await records.read { try $0.approvals(of: revision.id) }.isEmpty)
        }
    }

    @Test("a function has one split, which goes with its revision")
    func splits() async throws {
        try await withFunction { records, function async throws in
            let (one, two) = (Self.revision(of: function, 1), Self.revision(of: function, 2))
            func split(_ revision: Revision, _ percent: Int, _ limit: Int?) -> RevisionSplit {
                RevisionSplit(
                    revision: revision.id, percent: percent, returnAbove: limit, created: Timestamp(milliseconds: 4), createdBy: "x")
            }
            let (first, second) = (split(one, 10, nil), split(two, 20, 5))
            try await records.write {
                try $0.insert(one)
                try $0.insert(two)
                try $0.set(first, of: function.id)
                try $0.set(second, of: function.id)
            }
            #expect(try await records.read { try $0.split(of: function.id) } == second)
            try await records.write { try $0.deleteRevision(two.id) }
            #expect(try await records.read { try $0.split(of: function.id) } == nil)
            try await records.write {
                try $0.set(first, of: function.id)
                try $0.set(nil, of: function.id)
                try $0.setPinned(true, one.id)
            }
            #expect(try await records.read { try $0.split(of: function.id) } == nil)
            #expect(try await records.read { try $0.revision(one.id)?.isPinned } == true)
        }
    }
}
