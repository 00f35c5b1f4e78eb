import CasemateModel
import Crypto
import Foundation
import Testing

@testable import CasemateVault

@Suite("Signatures of revisions")
struct RevisionSignerTests {
    private func withSigned(provenance: String = "p", _ body: (RevisionSigner, Revision) async throws -> Void) async throws {
        try await withVaultFolder { folder async throws in
            let signer = RevisionSigner(try FileRevisionKey(path: folder + "/signing", mayCreate: true))
            try await body(signer, try await signer.signing(Self.revision(provenance: provenance)))
        }
    }

    private static func revision(provenance: String = "p") -> Revision {
        var revision = Revision(
            id: RevisionId(), functionId: FunctionId(), number: 12, bundleDigest: String(repeating: "ab", count: 32),
            sourceDigest: String(repeating: "cd", count: 32), specBytes: Array(#"{"runtime":"python3.11"}"#.utf8), lock: nil, findings: [],
            created: Timestamp(milliseconds: 1), createdBy: "key:x")
        revision.provenanceDigest = provenance
        revision.signer = provenance.isEmpty ? nil : DeploymentSigner(name: "ada", key: "SHA256:abc")
        return revision
    }

    @Test("what was signed is valid, also what was signed before there was provenance", arguments: ["p", ""])
    func valid(provenance: String) async throws {
        try await withSigned(provenance: provenance) { signer, revision async throws in
            #expect(signer.isValid(revision))
            #expect(revision.digest == RevisionSigner.digest(of: revision) && revision.digest.utf8.count == 64)
        }
    }

    @Test("a change of anything that is signed is found")
    func changed() async throws {
        try await withSigned { signer, revision async throws in
            func expectInvalid(_ what: String, _ change: (inout Revision) -> Void) {
                var wrong = revision
                change(&wrong)
                #expect(!signer.isValid(wrong), "\(what)")
                wrong.digest = RevisionSigner.digest(of: wrong)
                #expect(!signer.isValid(wrong), "\(what), with its own digest")
            }
            expectInvalid("function") { $0.functionId = FunctionId() }
            expectInvalid("number") { $0.number = 13 }
            expectInvalid("number's digits") { $0.number = 1 }
            expectInvalid("bundle") { $0.bundleDigest = String(repeating: "ab", count: 31) + "ac" }
            expectInvalid("bundle's case") { $0.bundleDigest = $0.bundleDigest.uppercased() }
            expectInvalid("no bundle") { $0.bundleDigest = "" }
            expectInvalid("source") { $0.sourceDigest = String(repeating: "ab", count: 32) }
            expectInvalid("spec") { $0.specBytes[3] ^= 1 }
            expectInvalid("spec's end") { $0.specBytes.append(32) }
            expectInvalid("no spec") { $0.specBytes = [] }
            expectInvalid("provenance") { $0.provenanceDigest = "q" }
            expectInvalid("no provenance") { $0.provenanceDigest = "" }
            expectInvalid("id") { $0.id = RevisionId() }
            expectInvalid("author") { $0.createdBy = "key:y" }
            expectInvalid("author's identity") { $0.authorIdentity = "person:a:b" }
            expectInvalid("who wrote it") { $0.codeAuthor = DeployAuthor(subject: "a", identity: "b") }
            expectInvalid("when") { $0.created = Timestamp(milliseconds: 2) }
            expectInvalid("what it was compared with") { $0.base = RevisionId() }
            expectInvalid("why it waits") { $0.needsApproval = [.egress] }
            expectInvalid("where it was promoted from") {
                $0.origin = RevisionOrigin(function: FunctionName("a/b")!, revision: 1, digest: "sha256:x")
            }
            expectInvalid("the signer's name") { $0.signer?.name = "eve" }
            expectInvalid("when it was signed for") { $0.signedAt = Timestamp(milliseconds: 3) }
            expectInvalid("whose signature") { $0.signer?.key = "SHA256:abd" }
            expectInvalid("nobody's signature") { $0.signer = nil }
            expectInvalid("no signature") { $0.signature = [] }
            expectInvalid("longer signature") { $0.signature.append(0) }
            for index in revision.signature.indices { expectInvalid("signature") { $0.signature[index] ^= 1 } }
        }
    }

    @Test("what it has never had can't be added to one from before there was provenance")
    func added() async throws {
        try await withSigned(provenance: "") { signer, revision async throws in
            var wrong = revision
            wrong.provenanceDigest = "p"
            #expect(!signer.isValid(wrong))
        }
    }

    @Test("what is not the author's to change may differ: it is not what runs")
    func unsigned() async throws {
        try await withSigned { signer, revision async throws in
            var other = revision
            other.lock = "x"
            other.isPinned = true
            other.state = .rejected
            #expect(signer.isValid(other))
        }
    }

    @Test("another server's signature is not valid, unless its key signed here before")
    func otherKey() async throws {
        try await withSigned { first, revision async throws in
            try await withVaultFolder { folder async throws in
                let key = try FileRevisionKey(path: folder + "/signing", mayCreate: true)
                #expect(!RevisionSigner(key).isValid(revision))
                #expect(RevisionSigner(key, former: [first.verifying]).isValid(revision))
            }
        }
    }

    @Test("an approval is of one revision, by one, at one time")
    func approvals() async throws {
        try await withSigned { signer, revision async throws in
            let approval = try await signer.signing(
                Approval(
                    revision: revision.id, digest: revision.digest, by: "user:a:b", identity: "person:a:b", comment: "fine",
                    created: Timestamp(milliseconds: 5)))
            #expect(signer.isValid(approval, of: revision))
            func expectInvalid(_ what: String, of revision: Revision? = nil, _ change: (inout Approval) -> Void) {
                var wrong = approval
                change(&wrong)
                #expect(!signer.isValid(wrong, of: revision ?? Self.revision()), "\(what)")
            }
            expectInvalid("another revision") { _ in }
            expectInvalid("who", of: revision) { $0.by = "user:a:c" }
            expectInvalid("identity", of: revision) { $0.identity = "person:a:c" }
            expectInvalid("both, moved", of: revision) { ($0.identity, $0.by) = ("person:a:b\nuser", "a:b") }
            expectInvalid("when", of: revision) { $0.created = Timestamp(milliseconds: 6) }
            expectInvalid("digest", of: revision) { $0.digest = String(repeating: "0", count: 64) }
            expectInvalid("signature", of: revision) { $0.signature[0] ^= 1 }
            var changed = revision
            changed.specBytes.append(32)
            #expect(!signer.isValid(approval, of: changed), "what was approved is another now")
        }
    }

    @Test("an envelope is signed over its type and its payload")
    func envelope() async throws {
        try await withSigned { signer, _ async throws in
            let envelope = try await signer.envelope(of: Array("{}".utf8), type: "application/vnd.in-toto+json")
            let signature = Array(try #require(Data(base64Encoded: envelope.signatures[0].sig)))
            let signed = Array("DSSEv1 28 application/vnd.in-toto+json 2 {}".utf8)
            #expect(DSSEEnvelope.signedBytes(Array("{}".utf8), type: envelope.payloadType) == signed)
            #expect(signer.verifying.isValid(signature, over: signed))
            #expect(!signer.verifying.isValid(signature, over: signed + [32]))
        }
    }

    @Test("a public key is read back from its PEM")
    func pem() throws {
        for key in [VerifyingKey.ed25519(Curve25519.Signing.PrivateKey().publicKey), .p256(P256.Signing.PrivateKey().publicKey)] {
            #expect(VerifyingKey(pem: key.pem)?.id == key.id)
            #expect(VerifyingKey(pem: key.pem)?.algorithm == key.algorithm)
        }
        #expect(VerifyingKey(pem: "") == nil && VerifyingKey(pem: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----") == nil)
    }

    @Test("the key is kept, private and refused when others could read it or it is no key")
    func key() async throws {
        try await withVaultFolder { folder async throws in
            let path = folder + "/signing"
            let revision = try await RevisionSigner(try FileRevisionKey(path: path, mayCreate: true)).signing(Self.revision())
            #expect(RevisionSigner(try FileRevisionKey(path: path, mayCreate: false)).isValid(revision))
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
            #expect(throws: KeyFileError.self) { try FileRevisionKey(path: path, mayCreate: true) }
            #expect(
                FileManager.default.createFile(
                    atPath: folder + "/short", contents: Data([1, 2, 3]), attributes: [.posixPermissions: 0o600]))
            #expect(throws: KeyFileError.self) { try FileRevisionKey(path: folder + "/short", mayCreate: true) }
        }
    }
}
