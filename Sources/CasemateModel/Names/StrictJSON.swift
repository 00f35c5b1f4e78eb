/// JSON that means one thing to everybody (RFC 8259, RFC 8785 §3.1), looked at before a decoder sees it.
public enum StrictJSON {
    /// Brackets open at once, outside strings: the decoder recurses, so that depth is bounded before it runs. Nil for what Foundation's
    /// parser would let pass though it is no JSON (RFC 8259): another encoding than UTF-8, an open end, a comma before a closing bracket.
    public static func depth(_ bytes: [UInt8]) -> Int? {
        guard !bytes.contains(0), String(validating: bytes, as: UTF8.self) != nil, bytes.first != 0xef else { return nil }
        var depth = 0
        var most = 0
        var isInString = false
        var isEscaped = false
        var last: UInt8 = 0
        var begin = 0
        var string: ArraySlice<UInt8> = []
        var keys: [Set<ArraySlice<UInt8>>] = []
        for (index, byte) in bytes.enumerated() {
            if isInString {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isInString = false
                    string = bytes[begin..<index]
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""):
                isInString = true
                begin = index + 1
            case UInt8(ascii: ":"):
                // The same name twice: which one counts is anyone's guess (RFC 8259 §4).
                // Nor one that is spelled in two ways: who reads it next may take the other.
                guard !keys.isEmpty, !string.contains(UInt8(ascii: "\\")), keys[keys.count - 1].insert(string).inserted else { return nil }
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                guard depth <= 64 else { return depth }
                keys.append([])
                most = max(most, depth)
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard last != UInt8(ascii: ",") else { return nil }
                depth -= 1
                guard depth >= 0 else { return nil }
                keys.removeLast()
            default: break
            }
            if ![9, 10, 13, 32].contains(byte) { last = byte }
        }
        return depth == 0 && !isInString ? most : nil
    }
}
