/// What a piece of text follows, as far as words need to know it.
struct Preceding: Sendable {
    /// The byte before; nil where a text begins.
    private(set) var byte: UInt8?
    /// How many bytes of a name have come since a quote. Nil without a quote, or where it is too far away for a key.
    private(set) var nameLength: Int?

    /// What `position` of `text` follows, where the text itself follows this.
    func moved(to position: Int, in text: UnsafeRawBufferPointer) -> Preceding {
        if position == 0 { return self }
        var moved = Preceding(byte: text[position - 1])
        var start = position
        while start > 0, position - start <= KeySyntax.longestName, KeySyntax.isNameByte(text[start - 1]) { start -= 1 }
        if start > 0 {
            if text[start - 1] == UInt8(ascii: "\"") { moved.nameLength = position - start }
        } else {
            moved.nameLength = nameLength.map { $0 + position }
        }
        if let length = moved.nameLength, length > KeySyntax.longestName { moved.nameLength = nil }
        return moved
    }
}
