import CP11Kit
import Glibc

/// p11-kit's parsed URI, freed with its last reference.
final class PKCS11URI {
    let raw: OpaquePointer

    init() {
        guard let raw = p11_kit_uri_new() else { fatalError("out of memory") }
        self.raw = raw
    }

    deinit { p11_kit_uri_free(raw) }

    func parse(_ text: String) -> Int32 {
        p11_kit_uri_parse(text, P11KitUriType(rawValue: P11_KIT_URI_FOR_ANY.rawValue), raw)
    }

    /// The value of an object attribute; nothing when the URI doesn't give it.
    func attribute(_ type: UInt) -> [UInt8]? {
        guard let found = p11_kit_uri_get_attribute(raw, type) else { return nil }
        return Array(UnsafeRawBufferPointer(start: found.pointee.value, count: Int(found.pointee.value_len)))
    }

    /// Whether it gives a label or a serial number that isn't blank.
    var namesToken: Bool {
        guard let info = p11_kit_uri_get_token_info(raw) else { return false }
        // Not given is all zeroes, given is padded with blanks (PKCS#11 v2.40, CK_TOKEN_INFO).
        let isNamed: (UnsafeRawBufferPointer) -> Bool = { $0.contains { $0 != 0 && $0 != UInt8(ascii: " ") } }
        return withUnsafeBytes(of: info.pointee.label, isNamed) || withUnsafeBytes(of: info.pointee.serial_number, isNamed)
    }

    /// A URI of a part of it.
    func part(_ part: P11KitUriType) -> String? {
        var text: UnsafeMutablePointer<CChar>?
        guard p11_kit_uri_format(raw, part, &text) == P11_KIT_URI_OK.rawValue, let text else { return nil }
        defer { free(text) }
        // Formatting keeps the query, which names files that a message about the token needn't.
        return String(String(cString: text).prefix { $0 != "?" })
    }
}
