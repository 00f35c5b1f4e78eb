/// Walks a text and gives, for each place where words to hide stand, the longest. Places come in ascending order.
///
/// SAFETY: holds the text's pointer; to be used within the call that was given the text.
struct WordCursor {
    private let layer: NeedleLayer
    private let text: UnsafeRawBufferPointer
    /// Words that begin here or later are not looked for.
    private let limit: Int
    private var position = 0
    private let preceding: Preceding
    private var previous: UInt8?

    init(_ layer: NeedleLayer, in text: UnsafeRawBufferPointer, before limit: Int, after preceding: Preceding) {
        self.layer = layer
        self.text = text
        self.limit = limit
        self.preceding = preceding
        previous = preceding.byte
    }

    mutating func next() -> Match? {
        while true {
            let start = layer.words.candidate(in: text, from: position, after: previous)
            guard start < limit else { return nil }
            let before = start > position ? text[start - 1] : previous
            position = start + 1
            var match: Match?
            // A mark is jumped over: no word within counts.
            if text[start] == UInt8(ascii: "["), case .complete(let end) = MarkSyntax.mark(in: text, at: start) {
                position = end
            } else if before.map({ !isWordByte($0) }) ?? true {
                match = layer.words.match(in: text, at: start, after: preceding)
            }
            previous = text[position - 1]
            if let match { return match }
        }
    }
}
