import CP11Kit

/// Where the key-encryption key is: a module, a token, an object label, and the file of the user PIN.
///
///     pkcs11:token=casemate;object=kek?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/casemate/pin
///
/// Source: RFC 7512 §2.3, §2.4; parsed by p11-kit. An attribute that would not be obeyed is refused.
struct PKCS11Address: Sendable {
    /// Absolute.
    let modulePath: String
    /// CKA_LABEL of the keys, UTF-8.
    let keyLabel: [UInt8]
    /// Nothing for a token that asks for no login.
    let pinFile: PINFile?
    /// The token's part alone, for messages: `pkcs11:token=casemate`.
    let token: String
    /// The token and the label: `pkcs11:token=casemate;object=kek`.
    let place: String

    /// - Throws: all that is wrong with `text`, quoting none of its values.
    init(_ text: String) throws(PKCS11AddressError) {
        try PKCS11AddressAttributes.check(text)
        let uri = PKCS11URI()
        let code = uri.parse(text)
        guard code == P11_KIT_URI_OK.rawValue else { throw PKCS11AddressError([String(cString: p11_kit_uri_message(code))]) }

        var faults: [String] = []
        if p11_kit_uri_any_unrecognized(uri.raw) != 0 { faults.append("it has an attribute or a type that p11-kit doesn't know") }
        // A value is percent-decoded here and may be what no name check saw.
        if p11_kit_uri_get_pin_value(uri.raw) != nil { faults.append(PKCS11AddressAttributes.noPINValue) }

        let modulePath = p11_kit_uri_get_module_path(uri.raw).map { String(cString: $0) }
        if modulePath?.hasPrefix("/") != true {
            faults.append("it needs ?module-path= with the absolute path of the HSM's PKCS#11 library")
        }
        let label = uri.attribute(CKA_LABEL) ?? []
        if label.isEmpty { faults.append("it needs object= with the label of the key") }
        if !uri.namesToken { faults.append("it needs token= with the token's label, or serial=") }

        var pinFile: PINFile?
        if let source = p11_kit_uri_get_pin_source(uri.raw) {
            pinFile = PINFile(source: String(cString: source))
            if pinFile == nil { faults.append("its pin-source must be the absolute path of a file, or a file: URI") }
        }
        guard faults.isEmpty, let modulePath, let token = uri.part(P11_KIT_URI_FOR_TOKEN),
            let place = uri.part(P11_KIT_URI_FOR_OBJECT_ON_TOKEN)
        else { throw PKCS11AddressError(faults) }
        self.modulePath = modulePath
        self.keyLabel = label
        self.pinFile = pinFile
        self.token = token
        self.place = place
    }

    /// Whether all that the address says of the token (label, serial, manufacturer, model) is so.
    func matches(_ info: ck_token_info) -> Bool {
        let uri = PKCS11URI()
        guard uri.parse(token) == P11_KIT_URI_OK.rawValue else { return false }
        return withUnsafePointer(to: info) { p11_kit_uri_match_token_info(uri.raw, $0) } != 0
    }
}

/// All faults of an address. They quote no value, since a PIN may stand in the wrong place.
public struct PKCS11AddressError: Error, Equatable, CustomStringConvertible {
    public let faults: [String]

    init(_ faults: [String]) { self.faults = faults }

    public var description: String { "not the address of a key in an HSM (RFC 7512): " + faults.joined(separator: "; ") }
}
