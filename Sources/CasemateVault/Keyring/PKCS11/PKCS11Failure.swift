import CasemateModel
import CP11Kit

/// A PKCS#11 call that answered something other than CKR_OK.
struct PKCS11Failure: Error {
    /// What was being done: "opening a session".
    let doing: String
    let code: ck_rv_t

    init(_ doing: String, _ code: ck_rv_t) {
        self.doing = doing
        self.code = code
    }

    /// Whether a new session may succeed where this one failed.
    var losesSession: Bool {
        switch code {
        case CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_DEVICE_REMOVED, CKR_DEVICE_ERROR, CKR_TOKEN_NOT_PRESENT,
            CKR_TOKEN_NOT_RECOGNIZED, CKR_USER_NOT_LOGGED_IN, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_SLOT_ID_INVALID, CKR_OPERATION_ACTIVE,
            CKR_OPERATION_NOT_INITIALIZED, CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID:
            true
        default: false
        }
    }

    /// For an operator.
    var unavailable: KeyProviderError {
        .unavailable("\(doing): \(String(cString: p11_kit_strerror(code))) (0x\(String(code, radix: 16))); \(advice)")
    }

    private var advice: String {
        switch code {
        case CKR_MECHANISM_INVALID, CKR_FUNCTION_NOT_SUPPORTED:
            "the token lacks what is needed: CKM_AES_GCM, and CKM_AES_KEY_GEN to make keys"
        case CKR_DEVICE_REMOVED, CKR_DEVICE_ERROR, CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_RECOGNIZED, CKR_SESSION_HANDLE_INVALID,
            CKR_SESSION_CLOSED, CKR_SLOT_ID_INVALID, CKR_USER_NOT_LOGGED_IN:
            "see that the HSM runs and is connected; the next call connects anew"
        case CKR_USER_PIN_NOT_INITIALIZED: "the token has no user PIN yet: let the security officer set one (pkcs11-tool --init-pin)"
        case CKR_TOKEN_WRITE_PROTECTED, CKR_SESSION_READ_ONLY: "the token is write-protected, so keys can be neither made nor destroyed"
        case CKR_DEVICE_MEMORY: "the token is full: destroy keys that nothing is wrapped with"
        case CKR_SESSION_COUNT: "the token has no session left: end other programs that use it"
        case CKR_KEY_FUNCTION_NOT_PERMITTED: "the key needs CKA_ENCRYPT and CKA_DECRYPT"
        case CKR_TEMPLATE_INCONSISTENT, CKR_ATTRIBUTE_VALUE_INVALID, CKR_ATTRIBUTE_TYPE_INVALID:
            "the token does not make AES-256 keys that stay in it; make one with its own tools, under the same label"
        default: "see the log of the HSM's PKCS#11 library"
        }
    }
}

/// For a call that answers CKR_OK or why not.
func expectOK(_ code: ck_rv_t, _ doing: @autoclosure () -> String) throws(PKCS11Failure) {
    guard code == CKR_OK else { throw PKCS11Failure(doing(), code) }
}
