import Foundation
import Testing

@testable import CasemateAWS

@Suite("KMS, against moto", .moto)
struct KMSTests {
    private func kms() throws -> KMS { try KMS(region: .test, endpoint: Moto.endpoint, credentials: .test()) }
    private var key: String { Moto.server.facts["key"]! }

    @Test("what is encrypted comes back, by id, alias or ARN, with the key's ARN", arguments: [1, 32, 4096])
    func roundTrip(_ count: Int) async throws {
        let kms = try kms()
        let plaintext = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        for keyId in [key, "alias/casemate", String(key.split(separator: "/")[1])] {
            let sealed = try await kms.encrypt(keyId: keyId, plaintext: plaintext, context: ["function": "plant/score"])
            #expect(sealed.keyId == key)
            #expect(sealed.ciphertext.firstRange(of: plaintext) == nil || count == 1)
            let opened = try await kms.decrypt(ciphertext: sealed.ciphertext, context: ["function": "plant/score"], keyId: key)
            #expect(opened.plaintext == plaintext)
            #expect(opened.keyId == key)
        }
    }

    @Test("another context, a changed ciphertext or another key is refused")
    func refused() async throws {
        let kms = try kms()
        var sealed = try await kms.encrypt(keyId: key, plaintext: [1, 2, 3], context: ["function": "a"]).ciphertext
        for context in [[:], ["function": "b"], ["function": "a", "more": "c"]] {
            let error = await awsError { try await kms.decrypt(ciphertext: sealed, context: context) }
            #expect(error == .refused(code: "InvalidCiphertextException", status: 400))
        }
        let other = await awsError {
            try await kms.decrypt(ciphertext: sealed, context: ["function": "a"], keyId: Moto.server.facts["other"])
        }
        // The first at AWS, the second at moto.
        #expect(["IncorrectKeyException", "AccessDeniedException"].contains(other?.code), "\(String(describing: other))")
        sealed[sealed.count - 1] ^= 1
        let error = await awsError { try await kms.decrypt(ciphertext: sealed, context: ["function": "a"]) }
        #expect(error == .refused(code: "InvalidCiphertextException", status: 400))
    }

    @Test("an unknown key, a disabled one and a value that is too large are refused by name")
    func keys() async throws {
        let kms = try kms()
        let unknown = "12345678-1234-1234-1234-123456789012"
        #expect(
            await awsError { try await kms.encrypt(keyId: unknown, plaintext: [1]) } == .refused(code: "NotFoundException", status: 400))
        #expect(await awsError { try await kms.describeKey(unknown) } == .refused(code: "NotFoundException", status: 400))
        let disabled = Moto.server.facts["disabled"]!
        let found = try await kms.describeKey(disabled)
        #expect(found.arn == disabled && !found.isEnabled && found.state == "Disabled")
        let large = await awsError { try await kms.encrypt(keyId: key, plaintext: [UInt8](repeating: 1, count: 4097)) }
        #expect(large == .refused(code: "ValidationException", status: 400), "\(String(describing: large))")
        let good = try await kms.describeKey("alias/casemate")
        #expect(good.arn == key && good.isEnabled && good.state == "Enabled")
    }

    @Test("a digest is signed by a key whose public half can be had")
    func signing() async throws {
        let (kms, signing) = (try kms(), Moto.server.facts["signing"]!)
        let key = try await kms.publicKey(signing)
        #expect(key.algorithms.contains("ECDSA_SHA_256") && key.der.count == 91, "SubjectPublicKeyInfo of a P-256 key")
        let signature = try await kms.sign(
            keyId: signing, message: [UInt8](repeating: 7, count: 32), isDigest: false, algorithm: "ECDSA_SHA_256")
        #expect(signature.first == 0x30, "a sequence of two numbers, in DER")
    }

    @Test("how long a decryption takes")
    func figures() async throws {
        let kms = try kms()
        let sealed = try await kms.encrypt(keyId: key, plaintext: [UInt8](repeating: 1, count: 32)).ciphertext
        let clock = ContinuousClock()
        let first = try await clock.measure { _ = try await kms.decrypt(ciphertext: sealed) }
        var times: [Duration] = []
        for _ in 1...200 { times.append(try await clock.measure { _ = try await kms.decrypt(ciphertext: sealed) }) }
        times.sort()
        print("KMS decrypt against moto: first \(first), median \(times[100]), 99th \(times[198])")
        #expect(times[100] < .milliseconds(250))
    }
}

@Suite("KMS with rights, against moto", .motoWithAuth)
struct KMSRightsTests {
    private func kms(_ name: String, secret: String? = nil) throws -> KMS {
        let keys = Moto.server.lists[name]!
        return try KMS(region: .test, endpoint: Moto.endpoint, credentials: .test(keys[0], secret ?? keys[1]))
    }

    @Test("moto takes our signature, and refuses a user without the right and a wrong secret")
    func rights() async throws {
        let key = Moto.server.facts["key"]!
        let sealed = try await kms("may").encrypt(keyId: key, plaintext: [1, 2, 3]).ciphertext
        #expect(try await kms("may").decrypt(ciphertext: sealed).plaintext == [1, 2, 3])
        let denied = await awsError { try await kms("maynot").decrypt(ciphertext: sealed) }
        // The first at AWS, the second at moto.
        #expect(["AccessDeniedException", "AccessDenied"].contains(denied?.code), "\(String(describing: denied))")
        let wrong = await awsError { try await kms("may", secret: "wrong").decrypt(ciphertext: sealed) }
        #expect(["InvalidSignatureException", "SignatureDoesNotMatch"].contains(wrong?.code), "\(String(describing: wrong))")
    }
}
