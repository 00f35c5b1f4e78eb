import CasemateModel
import CP11Kit

/// A session of the logged-in user with the token. Used by one thread.
final class PKCS11Connection {
    let address: PKCS11Address
    let session: ck_session_handle_t
    var functions: ck_function_list { module.functions }
    /// As listed last.
    private(set) var keys: [TokenKey] = []
    private let module: PKCS11Module

    /// Loads the module, finds the token, opens a session, logs in and lists the keys.
    init(_ address: PKCS11Address, gate: inout LoginGate) throws {
        let module = try PKCS11Module(path: address.modulePath)
        let token = try module.token(at: address)
        var session: ck_session_handle_t = 0
        let code = module.functions.C_OpenSession(token.slot, CKF_RW_SESSION | CKF_SERIAL_SESSION, nil, nil, &session)
        try expectOK(code, "opening a session with the token")
        self.address = address
        self.module = module
        self.session = session
        if token.flags & CKF_LOGIN_REQUIRED != 0 { try login(tokenFlags: token.flags, gate: &gate) }
        try refresh()
    }

    deinit {
        // No C_Logout: it would log out every session of this process with the token. The end of the last one does so (PKCS#11 v2.40,
        // C_CloseSession).
        _ = functions.C_CloseSession(session)
    }

    private func login(tokenFlags: UInt, gate: inout LoginGate) throws {
        guard let file = address.pinFile else {
            throw KeyProviderError.unavailable("the token asks for a PIN: add pin-source= with the PIN file's path to the key's address")
        }
        let pin = try file.read()
        try gate.check(pin.version, tokenFlags: tokenFlags)
        let code = pin.withBytes { functions.C_Login(session, CKU_USER, $0.baseAddress, UInt($0.count)) }
        // By another user of the library in this process.
        if code == CKR_USER_ALREADY_LOGGED_IN { return }
        try gate.answered(code, to: pin.version)
        try expectOK(code, "logging in to the token")
    }

    /// Lists the keys anew: another server may have made or destroyed some.
    func refresh() throws { keys = try findKeys() }

    /// The key that new data keys are wrapped with.
    var newest: TokenKey? { keys.max { $0.id < $1.id } }

    func destroy(_ key: TokenKey) throws {
        try expectOK(functions.C_DestroyObject(session, key.handle), "destroying a key in the token")
    }
}
