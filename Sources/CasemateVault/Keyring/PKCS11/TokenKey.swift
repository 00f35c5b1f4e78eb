import CP11Kit

/// An AES-256 key with our label in the token.
struct TokenKey {
    /// Good for one session.
    let handle: ck_object_handle_t
    let id: TokenKeyId
    /// Whether the token would hand it out: then it is not used to wrap.
    let isExtractable: Bool
}

extension PKCS11Connection {
    /// All AES-256 keys of the token with the address's label.
    func findKeys() throws(PKCS11Failure) -> [TokenKey] {
        var template = AttributeTemplate()
        template.add(CKA_CLASS, CKO_SECRET_KEY)
        template.add(CKA_KEY_TYPE, CKK_AES)
        template.add(CKA_TOKEN, true)
        template.add(CKA_LABEL, address.keyLabel)
        var handles: [ck_object_handle_t] = []
        try template.with { (attributes, count) throws(PKCS11Failure) in
            try expectOK(functions.C_FindObjectsInit(session, attributes, count), "looking for keys in the token")
            defer { _ = functions.C_FindObjectsFinal(session) }
            var part = [ck_object_handle_t](repeating: 0, count: 64)
            while true {
                var found: UInt = 0
                try expectOK(functions.C_FindObjects(session, &part, UInt(part.count), &found), "looking for keys in the token")
                if found == 0 { return }
                handles += part.prefix(Int(found))
            }
        }
        var keys: [TokenKey] = []
        for handle in handles { if let key = try key(handle) { keys.append(key) } }
        return keys
    }

    /// The key behind a handle; nothing for one of another size, or one that is gone since it was found.
    private func key(_ handle: ck_object_handle_t) throws(PKCS11Failure) -> TokenKey? {
        var template = AttributeTemplate()
        template.add(CKA_ID, [UInt8](repeating: 0, count: Self.longestId))
        template.add(CKA_VALUE_LEN, 0 as UInt)
        // One that the token doesn't tell counts as extractable.
        template.add(CKA_EXTRACTABLE, true)
        let code = template.with { functions.C_GetAttributeValue(session, handle, $0, $1) }
        switch code {
        case CKR_OBJECT_HANDLE_INVALID: return nil
        // The attributes that are there have been told (PKCS#11 v2.40, C_GetAttributeValue).
        case CKR_OK, CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_SENSITIVE, CKR_BUFFER_TOO_SMALL: break
        default: throw PKCS11Failure("reading a key's attributes", code)
        }
        guard let id = template.bytes(0), template.word(1) == 32 else { return nil }
        return TokenKey(handle: handle, id: TokenKeyId(id), isExtractable: template.bytes(2) != [0])
    }

    /// Makes an AES-256 key that stays in the token. The list of keys doesn't have it yet.
    func makeKey(_ id: TokenKeyId) throws(PKCS11Failure) {
        var template = AttributeTemplate()
        template.add(CKA_CLASS, CKO_SECRET_KEY)
        template.add(CKA_KEY_TYPE, CKK_AES)
        template.add(CKA_VALUE_LEN, 32 as UInt)
        template.add(CKA_LABEL, address.keyLabel)
        template.add(CKA_ID, id.bytes)
        for attribute in [CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, CKA_ENCRYPT, CKA_DECRYPT] { template.add(attribute, true) }
        // Said, since each token has defaults of its own: SoftHSM lets a key also verify, wrap and unwrap.
        for attribute in [CKA_EXTRACTABLE, CKA_WRAP, CKA_UNWRAP, CKA_SIGN, CKA_VERIFY, CKA_DERIVE] { template.add(attribute, false) }
        var mechanism = ck_mechanism(mechanism: CKM_AES_KEY_GEN, parameter: nil, parameter_len: 0)
        var handle: ck_object_handle_t = 0
        let code = template.with { functions.C_GenerateKey(session, &mechanism, $0, $1, &handle) }
        try expectOK(code, "making a key in the token")
    }

    private static let longestId = 255
}
