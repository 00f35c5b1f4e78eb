import CasemateModel
import CP11Kit

/// Keeps a wrong PIN from being tried again: a few more would lock the token for good.
///
/// What was refused once is not tried until its file changes. A pure value; `PKCS11Connection` carries out.
struct LoginGate: Sendable {
    private var refused: (version: PIN.Version, reason: String)?

    /// - Throws: when this PIN was refused before, or the token has but one try left.
    func check(_ version: PIN.Version, tokenFlags: UInt) throws(KeyProviderError) {
        if let refused, refused.version == version { throw .unavailable(refused.reason) }
        if tokenFlags & CKF_USER_PIN_LOCKED != 0 { throw .unavailable(Self.locked) }
        // Ours could be right. But a server that is started again and again with a wrong one forgets what was refused.
        if tokenFlags & CKF_USER_PIN_FINAL_TRY != 0 {
            throw .unavailable(
                "the token has one try for its PIN left, which the server does not spend: log in by hand (pkcs11-tool --login), then try again"
            )
        }
    }

    /// The token's answer to C_Login.
    /// - Throws: when the PIN was not taken. Other answers are not the gate's.
    mutating func answered(_ code: UInt, to version: PIN.Version) throws(KeyProviderError) {
        guard let reason = Self.reason(code) else {
            if code == CKR_OK { refused = nil }
            return
        }
        refused = (version, reason)
        throw .unavailable(reason)
    }

    private static func reason(_ code: UInt) -> String? {
        switch code {
        case CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE:
            "the token refused the PIN; it is not tried again until the PIN file changes: put the right one there"
        case CKR_PIN_LOCKED: locked
        case CKR_PIN_EXPIRED: "the token's PIN has expired: set a new one (pkcs11-tool --change-pin) and put it into the PIN file"
        default: nil
        }
    }

    private static let locked =
        "the token's PIN is locked after too many wrong ones: let the security officer set it anew (pkcs11-tool --init-pin), then write the PIN file anew"
}
