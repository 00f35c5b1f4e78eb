/// The tables of one set of needles. A class, so that redactors share them and a cursor costs nothing to make.
final class NeedleLayer: Sendable {
    let needles: NeedleIndex
    let words: WordIndex
    let hasNeedles: Bool
    let hasWords: Bool
    /// Whether a spelling may go on behind the end of a line.
    let spansLines: Bool

    init(_ spellings: Spellings) {
        needles = NeedleIndex(spellings.needles)
        words = WordIndex(spellings.words)
        hasNeedles = !needles.table.isEmpty
        hasWords = !words.table.isEmpty
        spansLines = spellings.needles.bytes.contains(UInt8(ascii: "\n")) || spellings.words.bytes.contains(UInt8(ascii: "\n"))
    }
}

extension NeedleLayer: CustomReflectable {
    var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}

extension [NeedleLayer] {
    /// Calls `body` with each match that begins before `limit`, in order, until it returns false.
    @inline(__always)
    func eachMatch(in text: UnsafeRawBufferPointer, before limit: Int, after preceding: Preceding, _ body: (Match) -> Bool) {
        if count == 1 && !self[0].hasWords {
            var cursor = NeedleCursor(self[0], in: text, before: limit)
            while let match = cursor.next(), body(match) {}
        } else {
            var cursor = MatchCursor(self, in: text, before: limit, after: preceding)
            while let match = cursor.next(), body(match) {}
        }
    }

    /// From where on `text` waits for what follows, whatever it is: how much is held back tells nothing about what is looked for.
    ///
    /// Else it would be an oracle: whoever writes a text and sees how it leaves could learn a value byte by byte. The end of a line lets go
    /// what is before it, where no spelling goes on behind one.
    func unseen(in text: UnsafeRawBufferPointer) -> Int {
        // A word needs what is behind it, which may make it a key.
        let end = Swift.max(0, text.count - Spellings.pieceLimit - KeySyntax.longestEnd)
        if !contains(where: \.spansLines) {
            // Neither a mark nor the end of a key has a line end in it.
            for index in stride(from: text.count - 1, through: end, by: -1) where text[index] == UInt8(ascii: "\n") { return index + 1 }
        }
        guard contains(where: \.hasWords) else { return end }
        let mark = MarkSyntax.incomplete(in: text)
        // A word that goes on into the mark waits with it.
        return MarkSyntax.uncut(mark == text.count ? end : Swift.min(end, Swift.max(0, mark - Spellings.pieceLimit)), in: text)
    }

    /// From where on `text` must wait for what follows, because a value may have begun there. The text's length if nothing has.
    func undecided(in text: UnsafeRawBufferPointer, after preceding: Preceding) -> Int {
        var hold = text.count
        for layer in self where layer.hasNeedles { hold = Swift.min(hold, layer.needles.undecided(in: text)) }
        guard contains(where: \.hasWords) else { return hold }
        let mark = MarkSyntax.incomplete(in: text)
        for layer in self where layer.hasWords { hold = Swift.min(hold, layer.words.undecided(in: text, after: preceding, mark: mark)) }
        return MarkSyntax.uncut(Swift.min(hold, mark), in: text)
    }
}
