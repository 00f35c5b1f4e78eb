/// What p11-kit's parser lets pass and we don't: attributes that we would not obey, one given twice, blanks (it drops them), NUL.
enum PKCS11AddressAttributes {
    static let noPINValue = "pin-value is refused, since an address stands in process lists and logs: put the PIN into a file, pin-source="

    private static let inPath = ["token", "serial", "manufacturer", "model", "object", "type"]
    private static let inQuery = ["module-path", "pin-source"]
    private static let advice = [
        "pin-value": noPINValue,
        "module-name": "module-name is refused: name the library's file, module-path=",
        "id": "id is refused: a rotated key has a new one; keys are found by object=",
        "slot-id": "slot-id is refused: slots are numbered anew; name the token",
    ]

    static func check(_ text: String) throws(PKCS11AddressError) {
        guard text.hasPrefix("pkcs11:") else { throw PKCS11AddressError(["it must begin with pkcs11:"]) }
        guard text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw PKCS11AddressError(["blanks and what isn't ASCII must be percent-encoded"])
        }
        let parts = text.dropFirst("pkcs11:".count).split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        var faults = text.contains("%00") ? ["no value may hold a NUL"] : []
        faults += check(parts[0].split(separator: ";"), allowed: inPath)
        if parts.count == 2 { faults += check(parts[1].split(separator: "&"), allowed: inQuery) }
        guard faults.isEmpty else { throw PKCS11AddressError(faults) }
    }

    private static func check(_ attributes: [Substring], allowed: [String]) -> [String] {
        var seen: Set<Substring> = []
        return attributes.compactMap { attribute in
            let name = attribute.prefix { $0 != "=" }
            guard name.count < attribute.count, name.allSatisfy({ $0.isLetter || $0 == "-" }) else {
                return "it has a part that isn't name=value"
            }
            if let advice = advice[String(name)] { return advice }
            if !allowed.contains(String(name)) {
                return "\(name) is not among \(allowed.joined(separator: ", ")), which are what may stand there"
            }
            if !seen.insert(name).inserted { return "\(name) is given twice" }
            if name == "type", attribute != "type=secret-key" { return "type can only be secret-key" }
            return nil
        }
    }
}
