import Foundation
import Testing

@testable import CasemateVault

/// Against signatures that the real ssh-keygen makes, and what may be sent in their place.
@Suite("Signatures by SSH keys")
struct SSHSignatureTests {
    private static let message = Array("casemate deployment v1\nfunction a\n".utf8)

    private struct Signed {
        var publicKey: String
        var armored: String
    }

    private static func run(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/ssh-keygen")
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
    }

    private static func sign(_ type: String, bits: Int? = nil, namespace: String = "casemate", hash: String = "sha512") throws -> Signed {
        let folder = NSTemporaryDirectory() + "ssh-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try run(["-q", "-t", type, "-N", "", "-C", "a comment", "-f", folder + "/key"] + (bits.map { ["-b", "\($0)"] } ?? []))
        try Data(message).write(to: URL(fileURLWithPath: folder + "/text"))
        try run(["-Y", "sign", "-q", "-O", "hashalg=\(hash)", "-n", namespace, "-f", folder + "/key", folder + "/text"])
        return Signed(
            publicKey: try String(contentsOfFile: folder + "/key.pub", encoding: .utf8),
            armored: try String(contentsOfFile: folder + "/text.sig", encoding: .utf8))
    }

    @Test(
        "each kind of key that ssh-keygen signs with is known",
        arguments: [("ed25519", nil), ("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521), ("rsa", 2048), ("rsa", 3072)] as [(String, Int?)])
    func kinds(type: String, bits: Int?) throws {
        for hash in ["sha256", "sha512"] {
            let signed = try Self.sign(type, bits: bits, hash: hash)
            let signature = try #require(SSHSignature(armored: signed.armored))
            let key = try #require(SSHPublicKey(signed.publicKey))
            #expect(signature.key == key && signature.namespace == "casemate")
            #expect(signature.isValid(over: Self.message, namespace: "casemate"))
            #expect(!signature.isValid(over: Self.message + [10], namespace: "casemate"))
            #expect(!signature.isValid(over: Self.message, namespace: "git"))
            #expect(signed.publicKey.hasPrefix(key.text) && key.fingerprint.hasPrefix("SHA256:"))
        }
    }

    @Test("a signature that was made for something else is none for this")
    func namespaces() throws {
        let signature = try #require(SSHSignature(armored: try Self.sign("ed25519", namespace: "git").armored))
        #expect(!signature.isValid(over: Self.message, namespace: "casemate"))
    }

    @Test("any changed byte is found")
    func changed() throws {
        let signed = try Self.sign("ed25519")
        let body = signed.armored.split(separator: "\n").filter { !$0.hasPrefix("-----") }.joined()
        let bytes = Array(try #require(Data(base64Encoded: body)))
        func armor(_ bytes: [UInt8]) -> String {
            "-----BEGIN SSH SIGNATURE-----\n\(Data(bytes).base64EncodedString())\n-----END SSH SIGNATURE-----\n"
        }
        let key = try #require(SSHPublicKey(signed.publicKey))
        func counts(_ bytes: [UInt8]) -> Bool {
            SSHSignature(armored: armor(bytes)).map { $0.key == key && $0.isValid(over: Self.message, namespace: "casemate") } ?? false
        }
        #expect(counts(bytes))
        for index in bytes.indices {
            var wrong = bytes
            wrong[index] ^= 1
            #expect(!counts(wrong), "byte \(index)")
        }
        for length in 0..<bytes.count { #expect(!counts(Array(bytes.prefix(length))), "cut to \(length)") }
        #expect(!counts(bytes + [0]))
    }

    @Test("Windows line ends and spaces around it are no fault of the signature")
    func lineEnds() throws {
        let signed = try Self.sign("ed25519")
        #expect(SSHSignature(armored: "\r\n  " + signed.armored.replacingOccurrences(of: "\n", with: "\r\n"))?.namespace == "casemate")
    }

    @Test(
        "what is no signature",
        arguments: [
            "", "x", "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----", "-----BEGIN SSH SIGNATURE-----\nAAAA\n",
            "-----BEGIN SSH SIGNATURE-----\n!!!!\n-----END SSH SIGNATURE-----",
            "-----BEGIN PGP SIGNATURE-----\nAAAA\n-----END PGP SIGNATURE-----",
            "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH/////w==\n-----END SSH SIGNATURE-----",
        ])
    func none(text: String) { #expect(SSHSignature(armored: text) == nil) }

    @Test("a long text is not looked at")
    func long() { #expect(SSHSignature(armored: String(repeating: "A", count: 1 << 20)) == nil) }

    @Test(
        "what is no public key that is taken",
        arguments: [
            "", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-dss AAAAB3NzaC1kc3M=", "ssh-ed25519 !!!!",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ])
    func noKey(text: String) { #expect(SSHPublicKey(text) == nil) }

    @Test("an RSA key below 2048 bits is not taken")
    func weak() throws { #expect(SSHPublicKey(try Self.sign("rsa", bits: 1024).publicKey) == nil) }
}
