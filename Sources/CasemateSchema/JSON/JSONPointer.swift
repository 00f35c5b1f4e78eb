extension JSONString {
    /// As one token of a JSON Pointer (RFC 6901 §3).
    var pointerToken: String {
        var token: [UInt8] = []
        for byte in utf8 {
            switch byte {
            case UInt8(ascii: "~"): token += Array("~0".utf8)
            case UInt8(ascii: "/"): token += Array("~1".utf8)
            default: token.append(byte)
            }
        }
        return String(decoding: token, as: UTF8.self)
    }

    /// The name that a token stands for: `~1` is a slash, `~0` a tilde. Nil where a tilde is neither.
    init?(pointerToken token: some Collection<UInt8>) {
        var name: [UInt8] = []
        var rest = token.makeIterator()
        while let byte = rest.next() {
            guard byte == UInt8(ascii: "~") else {
                name.append(byte)
                continue
            }
            switch rest.next() {
            case UInt8(ascii: "0"): name.append(UInt8(ascii: "~"))
            case UInt8(ascii: "1"): name.append(UInt8(ascii: "/"))
            default: return nil
            }
        }
        self.init(validated: name)
    }
}
