import Crypto
import Foundation
import Testing

/// What the vault and the signers are built on, held against what was published of it; each with a bit changed is refused.
@Suite("Published vectors")
struct PublishedVectorsTests {
    private func bytes(_ hex: String) -> Data {
        let digits = Array(hex.utf8)
        return Data(
            stride(from: 0, to: digits.count, by: 2).map { UInt8(String(decoding: digits[$0..<($0 + 2)], as: UTF8.self), radix: 16)! })
    }

    struct Sealed: Sendable {
        var key: String
        var nonce: String
        var plain: String
        var additional: String
        var sealed: String
        var tag: String
    }

    private static let key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
    private static let plain =
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
    private static let sealed =
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"

    /// McGrew and Viega, The Galois/Counter Mode of Operation, test cases 13 to 16.
    static let galois = [
        Sealed(
            key: String(repeating: "00", count: 32), nonce: String(repeating: "00", count: 12), plain: "", additional: "", sealed: "",
            tag: "530f8afbc74536b9a963b4f1c4cb738b"),
        Sealed(
            key: String(repeating: "00", count: 32), nonce: String(repeating: "00", count: 12), plain: String(repeating: "00", count: 16),
            additional: "", sealed: "cea7403d4d606b6e074ec5d3baf39d18", tag: "d0d1c8a799996bf0265b98b5d48ab919"),
        Sealed(
            key: key, nonce: "cafebabefacedbaddecaf888", plain: plain, additional: "", sealed: sealed,
            tag: "b094dac5d93471bdec1a502270e3cc6c"),
        Sealed(
            key: key, nonce: "cafebabefacedbaddecaf888", plain: String(plain.dropLast(8)),
            additional: "feedfacedeadbeeffeedfacedeadbeefabaddad2", sealed: String(sealed.dropLast(8)),
            tag: "76fc6ece0f4e1768cddf8853bb2d551b"),
    ]

    @Test("AES-256-GCM", arguments: galois)
    func aesGCM(_ vector: Sealed) throws {
        let key = SymmetricKey(data: bytes(vector.key))
        let nonce = try AES.GCM.Nonce(data: bytes(vector.nonce))
        let additional = bytes(vector.additional)
        let box = try AES.GCM.seal(bytes(vector.plain), using: key, nonce: nonce, authenticating: additional)
        #expect(Data(box.ciphertext) == bytes(vector.sealed))
        #expect(Data(box.tag) == bytes(vector.tag))
        for position in 0..<(bytes(vector.sealed).count + 16) {
            var all = bytes(vector.sealed) + bytes(vector.tag)
            all[position] ^= 1
            let changed = try AES.GCM.SealedBox(nonce: nonce, ciphertext: all.dropLast(16), tag: all.suffix(16))
            #expect(throws: (any Error).self) { try AES.GCM.open(changed, using: key, authenticating: additional) }
        }
        #expect(throws: (any Error).self) { try AES.GCM.open(box, using: key, authenticating: additional + [0]) }
    }

    /// RFC 8032 §7.1, test 1.
    @Test("Ed25519")
    func ed25519() throws {
        let key = try Curve25519.Signing.PrivateKey(
            rawRepresentation: bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
        #expect(key.publicKey.rawRepresentation == bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))
        let signature = bytes(
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        )
        #expect(key.publicKey.isValidSignature(signature, for: Data()))
        #expect(!key.publicKey.isValidSignature(signature, for: Data([0])))
        for position in 0..<64 {
            var changed = signature
            changed[position] ^= 1
            #expect(!key.publicKey.isValidSignature(changed, for: Data()))
        }
    }

    /// RFC 6979 A.2.5, with SHA-256, message "sample".
    @Test("ECDSA on P-256")
    func ecdsa() throws {
        let key = try P256.Signing.PublicKey(
            rawRepresentation: bytes(
                "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
                    + "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"))
        let signature = bytes(
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
                + "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8")
        func isValid(_ signature: Data, _ message: String) -> Bool {
            (try? P256.Signing.ECDSASignature(rawRepresentation: signature)).map { key.isValidSignature($0, for: Data(message.utf8)) }
                ?? false
        }
        #expect(isValid(signature, "sample"))
        #expect(!isValid(signature, "Sample"))
        let order = bytes("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
        let zero = Data(repeating: 0, count: 32)
        // Nought, and what is not below the order (Wycheproof's special cases).
        for wrong in [
            zero + zero, signature.prefix(32) + zero, zero + signature.suffix(32), order + signature.suffix(32),
            signature.prefix(32) + order,
        ] {
            #expect(!isValid(wrong, "sample"))
        }
        for position in 0..<64 {
            var changed = signature
            changed[position] ^= 1
            #expect(!isValid(changed, "sample"))
        }
    }
}
