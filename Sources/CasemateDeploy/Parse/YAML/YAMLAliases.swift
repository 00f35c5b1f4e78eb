/// Refuses aliases before anything is expanded.
enum YAMLAliases {
    /// Composes a copy of the text in which every anchor's name got a B in front and every alias' name an A, so that no alias can have
    /// a target: Yams stops at the first one. Whether a `*` is an alias or part of a text is so decided by the scanner itself.
    ///
    /// A letter between `*` or `&` and a letter changes no token's kind or place: neither is part of an escape, a block's header or an
    /// indicator. Different keys stay different or are repeated ones of the copy alone, which `YAMLComposer` passes over.
    static func refuse(in text: String) throws(YAMLFault) {
        guard let copy = renamed(text) else { return }
        _ = try YAMLComposer.compose(copy)
    }

    /// nil when there can be no alias.
    private static func renamed(_ text: String) -> String? {
        let bytes = Array(text.utf8)
        var copy: [UInt8] = []
        copy.reserveCapacity(bytes.count + bytes.count / 8)
        var mayHoldAliases = false
        for (index, byte) in bytes.enumerated() {
            copy.append(byte)
            guard byte == UInt8(ascii: "*") || byte == UInt8(ascii: "&"), index + 1 < bytes.count, isNameByte(bytes[index + 1]) else {
                continue
            }
            copy.append(byte == UInt8(ascii: "*") ? UInt8(ascii: "A") : UInt8(ascii: "B"))
            if byte == UInt8(ascii: "*") { mayHoldAliases = true }
        }
        return mayHoldAliases ? String(decoding: copy, as: UTF8.self) : nil
    }

    /// libyaml's IS_ALPHA.
    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 48...57, 65...90, 97...122, UInt8(ascii: "_"), UInt8(ascii: "-"): return true
        default: return false
        }
    }
}
