import CasemateModel
import Foundation
import Testing

@testable import CasemateVault

@Suite("Signatures of revisions")
struct RevisionSignerTests {
    private func withSigned(_ body: (RevisionSigner, Revision) throws -> Void) throws {
        try withVaultFolder { folder throws in
            let signer = try RevisionSigner(path: folder + "/signing", mayCreate: true)
            let function = FunctionId()
            let spec = Array(#"{"runtime":"python3.11"}"#.utf8)
            let digest = String(repeating: "ab", count: 32)
            let revision = Revision(
                id: RevisionId(), functionId: function, number: 12, bundleDigest: digest, sourceDigest: "s", specBytes: spec, lock: nil,
                findings: [], signature: try signer.sign(function: function, number: 12, bundleDigest: digest, spec: spec),
                created: Timestamp(milliseconds: 1), createdBy: "key:x")
            try body(signer, revision)
        }
    }

    @Test("what was signed is valid")
    func valid() throws { try withSigned { signer, revision throws in #expect(signer.isValid(revision)) } }

    @Test("a change of function, number, digest, spec or signature is found")
    func changed() throws {
        try withSigned { signer, revision throws in
            func expectInvalid(_ what: String, _ change: (inout Revision) -> Void) {
                var wrong = revision
                change(&wrong)
                #expect(!signer.isValid(wrong), "\(what)")
            }
            expectInvalid("function") { $0.functionId = FunctionId() }
            expectInvalid("number") { $0.number = 13 }
            expectInvalid("number's digits") { $0.number = 1 }
            expectInvalid("digest") { $0.bundleDigest = String(repeating: "ab", count: 31) + "ac" }
            expectInvalid("digest's case") { $0.bundleDigest = $0.bundleDigest.uppercased() }
            expectInvalid("digest") { $0.bundleDigest = "" }
            expectInvalid("spec") { $0.specBytes[3] ^= 1 }
            expectInvalid("spec's end") { $0.specBytes.append(32) }
            expectInvalid("no spec") { $0.specBytes = [] }
            expectInvalid("no signature") { $0.signature = [] }
            expectInvalid("longer signature") { $0.signature.append(0) }
            for index in revision.signature.indices { expectInvalid("signature") { $0.signature[index] ^= 1 } }
        }
    }

    @Test("what is not the author's to change may differ: it is not what runs")
    func unsigned() throws {
        try withSigned { signer, revision throws in
            var other = revision
            other.createdBy = "key:y"
            other.lock = "x"
            #expect(signer.isValid(other))
        }
    }

    @Test("another server's signature is not valid")
    func otherKey() throws {
        try withSigned { _, revision throws in try withSigned { other, _ throws in #expect(!other.isValid(revision)) } }
    }

    @Test("the key is kept, private and refused when others could read it or it is no key")
    func key() throws {
        try withVaultFolder { folder throws in
            let path = folder + "/signing"
            let function = FunctionId()
            let signature = try RevisionSigner(path: path, mayCreate: true).sign(
                function: function, number: 1, bundleDigest: "d", spec: [1])
            let revision = Revision(
                id: RevisionId(), functionId: function, number: 1, bundleDigest: "d", sourceDigest: "s", specBytes: [1], lock: nil,
                findings: [],
                signature: signature, created: Timestamp(milliseconds: 1), createdBy: "x")
            #expect(try RevisionSigner(path: path, mayCreate: false).isValid(revision))
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
            #expect(throws: KeyFileError.self) { try RevisionSigner(path: path, mayCreate: true) }
            #expect(
                FileManager.default.createFile(
                    atPath: folder + "/short", contents: Data([1, 2, 3]), attributes: [.posixPermissions: 0o600]))
            #expect(throws: KeyFileError.self) { try RevisionSigner(path: folder + "/short", mayCreate: true) }
        }
    }
}
