import CasemateModel
import CP11Kit

/// AES-256-GCM in the token: IV of 96 bits, tag of 128.
///
/// Source: PKCS#11 v2.40, Current Mechanisms, "AES-GCM authenticated Encryption / Decryption"; NIST SP 800-38D.
extension PKCS11Connection {
    private static let ivLength = 12
    private static let tagLength = 16

    /// Seals `plain` and opens it again, so that a token with a GCM of its own fashion is found out before anything is lost.
    /// - Returns: IV ‖ ciphertext ‖ tag.
    func seal(_ plain: [UInt8], with key: TokenKey, context: [UInt8]) throws -> [UInt8] {
        // A random IV is sound for 2^32 values under one key (SP 800-38D §8.3); there is one per function and rotation.
        var random = SystemRandomNumberGenerator()
        var iv = (0..<Self.ivLength).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        let sealed = try encrypt(plain, with: key, iv: &iv, context: context)
        guard sealed.count == plain.count + Self.tagLength else { throw Self.otherGCM }
        // The IV after the call: AWS CloudHSM writes one of its own over ours (miekg/pkcs11#72), which is the one to keep.
        let whole = iv + sealed
        do {
            let isSame = try decrypt(whole, with: key, context: context).withBytes { $0.elementsEqual(plain) }
            guard isSame else { throw Self.otherGCM }
        } catch let failure as PKCS11Failure where Self.isRefusal(failure.code) {
            throw Self.otherGCM
        }
        return whole
    }

    /// - Returns: nothing when the token works and yet does not open it.
    func open(_ sealed: [UInt8], with key: TokenKey, context: [UInt8]) throws -> ScrubbedBytes? {
        guard sealed.count >= Self.ivLength + Self.tagLength else { return nil }
        do {
            return try decrypt(sealed, with: key, context: context)
        } catch let failure as PKCS11Failure where Self.isRefusal(failure.code) {
            return nil
        } catch let failure as PKCS11Failure where failure.code == CKR_GENERAL_ERROR || failure.code == CKR_FUNCTION_FAILED {
            // SoftHSM up to 2.6 answers a wrong tag so (softhsm/SoftHSMv2#689), and anything else too: the tag was it when the same key
            // seals and opens something else now.
            _ = try seal([UInt8](repeating: 0, count: 32), with: key, context: context)
            return nil
        }
    }

    /// Whether the token says that it isn't what was sealed.
    private static func isRefusal(_ code: ck_rv_t) -> Bool {
        // The last is CKR_AEAD_DECRYPT_FAILED of PKCS#11 v3.0, which p11-kit's header lacks.
        [CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_SIGNATURE_INVALID, 0x42].contains(code)
    }

    private func encrypt(_ plain: [UInt8], with key: TokenKey, iv: inout [UInt8], context: [UInt8]) throws -> [UInt8] {
        try withMechanism(iv: &iv, context: context) { mechanism in
            let started = functions.C_EncryptInit(session, mechanism, key.handle)
            if started == CKR_MECHANISM_PARAM_INVALID || started == CKR_ARGUMENTS_BAD { throw Self.ownIV }
            try expectOK(started, "wrapping a key")
            return try [UInt8](unsafeUninitializedCapacity: plain.count + 2 * Self.tagLength) { room, count in
                var length = UInt(room.count)
                let code = plain.withUnsafeBufferPointer { plain in
                    // PKCS#11 has no const: the token only reads. No key at all still needs an address that isn't null.
                    let input = plain.baseAddress.map { UnsafeMutablePointer(mutating: $0) } ?? room.baseAddress
                    return functions.C_Encrypt(session, input, UInt(plain.count), room.baseAddress, &length)
                }
                if code == CKR_MECHANISM_PARAM_INVALID { throw Self.ownIV }
                try expectOK(code, "wrapping a key")
                count = Int(length)
            }
        }
    }

    private func decrypt(_ sealed: [UInt8], with key: TokenKey, context: [UInt8]) throws -> ScrubbedBytes {
        var iv = Array(sealed.prefix(Self.ivLength))
        var rest = Array(sealed.dropFirst(Self.ivLength))
        // As long as what goes in, which is more than needed: with no room given, some tokens answer "fine" before they look at the tag.
        var plain = ScrubbedBytes(capacity: rest.count)
        try withMechanism(iv: &iv, context: context) { mechanism in
            try expectOK(functions.C_DecryptInit(session, mechanism, key.handle), "unwrapping a key")
            try plain.fill { room in
                var length = UInt(room.count)
                try expectOK(functions.C_Decrypt(session, &rest, UInt(rest.count), room.baseAddress, &length), "unwrapping a key")
                return Int(length)
            }
        }
        return plain
    }

    /// `iv` is the token's to write to until `body` ends.
    private func withMechanism<R>(
        iv: inout [UInt8], context: [UInt8], _ body: (UnsafeMutablePointer<ck_mechanism>) throws -> R
    ) throws -> R {
        var context = context
        return try iv.withUnsafeMutableBufferPointer { iv in
            try context.withUnsafeMutableBufferPointer { context in
                var parameters = ck_gcm_params(
                    iv_ptr: iv.baseAddress, iv_len: UInt(iv.count), iv_bits: UInt(iv.count * 8), aad_ptr: context.baseAddress,
                    aad_len: UInt(context.count), tag_bits: UInt(Self.tagLength * 8))
                return try withUnsafeMutablePointer(to: &parameters) { parameters in
                    var mechanism = ck_mechanism(
                        mechanism: CKM_AES_GCM, parameter: parameters, parameter_len: UInt(MemoryLayout<ck_gcm_params>.size))
                    return try body(&mechanism)
                }
            }
        }
    }

    /// Some HSMs insist on making the IV (FIPS 140-3 IG C.H), and fail with ours.
    private static let ownIV = KeyProviderError.unavailable(
        "the token's AES-GCM takes no IV from outside: choose a token, or a mode of it, that does")
    private static let otherGCM = KeyProviderError.unavailable(
        "the token's AES-GCM does not open what it sealed itself, so nothing was wrapped: it can't be used")
}
