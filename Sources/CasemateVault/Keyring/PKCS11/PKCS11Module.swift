import CasemateModel
import CP11Kit
import Glibc

/// A loaded and initialized PKCS#11 library; finalized with its last reference.
///
/// p11-kit manages it: another user of the same library in this process is not finalized with us.
final class PKCS11Module {
    let functions: ck_function_list
    private let raw: UnsafeMutablePointer<ck_function_list>

    /// - Throws: when the file is no PKCS#11 library, or does not start.
    init(path: String) throws(KeyProviderError) {
        // Critical: what p11-kit's own configuration says about the module does not make a failure pass in silence.
        guard let raw = p11_kit_module_load(path, Int32(P11_KIT_MODULE_CRITICAL)) else {
            let reason = p11_kit_message().map { String(cString: $0) } ?? "unknown"
            throw .unavailable("loading the PKCS#11 library \(path): \(reason); install the HSM's library there, or correct module-path=")
        }
        let code = p11_kit_module_initialize(raw)
        guard code == CKR_OK else {
            p11_kit_module_release(raw)
            throw .unavailable(
                "starting the PKCS#11 library \(path): \(String(cString: p11_kit_strerror(code))) (0x\(String(code, radix: 16))); "
                    + "see its own configuration and log, and that the server's user may read them"
            )
        }
        self.raw = raw
        functions = raw.pointee
        // Stays in memory: libraries aren't made to be unloaded, and the gate counts on what they registered.
        _ = dlopen(path, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE)
        ExitGate.register(path)
    }

    deinit {
        p11_kit_module_finalize(raw)
        p11_kit_module_release(raw)
    }

    /// Slots that hold a token, now.
    func slots() throws(PKCS11Failure) -> [ck_slot_id_t] {
        while true {
            var count: UInt = 0
            try expectOK(functions.C_GetSlotList(1, nil, &count), "listing the HSM's slots")
            var slots = [ck_slot_id_t](repeating: 0, count: Int(count))
            let code = functions.C_GetSlotList(1, &slots, &count)
            // One was plugged in since it was counted.
            if code == CKR_BUFFER_TOO_SMALL { continue }
            try expectOK(code, "listing the HSM's slots")
            return Array(slots.prefix(Int(count)))
        }
    }

    /// The slot of the one token that the address names.
    func token(at address: PKCS11Address) throws -> (slot: ck_slot_id_t, flags: UInt) {
        var matching: [(slot: ck_slot_id_t, flags: UInt)] = []
        for slot in try slots() {
            var info = ck_token_info()
            // A slot may lose its token at any time, or hold one that is no HSM's.
            guard functions.C_GetTokenInfo(slot, &info) == CKR_OK, info.flags & CKF_TOKEN_INITIALIZED != 0, address.matches(info) else {
                continue
            }
            matching.append((slot, info.flags))
        }
        guard let found = matching.first else {
            throw KeyProviderError.unavailable(
                "\(address.modulePath) has no token \(address.token): see that the HSM is connected, that the token is initialized, "
                    + "and that the server's user may use it"
            )
        }
        guard matching.count == 1 else {
            throw KeyProviderError.unavailable("\(matching.count) tokens are \(address.token): add serial= to the address")
        }
        return found
    }
}
