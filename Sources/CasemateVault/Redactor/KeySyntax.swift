/// Recognises the key of a JSON object: `"a-name":`, and `\"a-name\":` where JSON is a string within JSON.
///
/// Spaces and tabs may stand before the colon, but no end of a line: no JSON writer makes one there, and a stream would else hold back each
/// line that ends with a string.
enum KeySyntax {
    enum Reading {
        case none
        case complete
        /// What may become the end of a key when the text goes on.
        case incomplete
    }

    /// The most of a name that is looked at on each side of a word in it.
    static let longestName = 64
    /// The most that is looked at behind a word: the rest of the name, its quote and the colon.
    static let longestEnd = longestName + longestEscape + 1 + longestSpace + 1
    /// The backslashes before a quote where JSON stands in JSON in JSON.
    private static let longestEscape = 3
    private static let longestSpace = 32

    /// Whether a name that reaches to `position` goes on and ends as those of keys do.
    static func end(in text: UnsafeRawBufferPointer, at position: Int) -> Reading {
        var position = position
        func skip(atMost limit: Int, _ isSkipped: (UInt8) -> Bool) {
            let end = min(text.count, position + limit)
            while position < end && isSkipped(text[position]) { position += 1 }
        }
        skip(atMost: longestName, isNameByte)
        skip(atMost: longestEscape) { $0 == UInt8(ascii: "\\") }
        if position == text.count { return .incomplete }
        guard text[position] == UInt8(ascii: "\"") else { return .none }
        position += 1
        skip(atMost: longestSpace) { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
        if position == text.count { return .incomplete }
        return text[position] == UInt8(ascii: ":") ? .complete : .none
    }

    /// `[A-Za-z0-9_.-]`: what stays of a key when a word in it does. With any byte, what stands between two strings could pass for a key.
    static func isNameByte(_ byte: UInt8) -> Bool { isWordByte(byte) || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-") }
}
