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
    func eachMatch(in text: UnsafeRawBufferPointer, before limit: Int, after previous: UInt8?, _ body: (Match) -> Bool) {
        if count == 1 && !self[0].hasWords {
            var cursor = NeedleCursor(self[0], in: text, before: limit)
            while let match = cursor.next(), body(match) {}
        } else {
            var cursor = MatchCursor(self, in: text, before: limit, after: previous)
            while let match = cursor.next(), body(match) {}
        }
    }

    /// From where on `text` waits for what follows, whatever it is: how much is held back tells nothing about what is looked for.
    ///
    /// Else it would be an oracle: whoever writes a text and sees how it leaves could learn a value byte by byte. The end of a line lets go
    /// what is before it, where no spelling goes on behind one.
    func unseen(in text: UnsafeRawBufferPointer) -> Int {
        // A word needs the byte behind it.
        var end = Swift.max(0, text.count - Spellings.pieceLimit)
        if !contains(where: \.spansLines) {
            for index in stride(from: text.count - 1, through: end, by: -1) where text[index] == UInt8(ascii: "\n") {
                end = index + 1
                break
            }
        }
        guard contains(where: \.hasWords) else { return end }
        return MarkSyntax.uncut(Swift.min(end, MarkSyntax.incomplete(in: text)), in: text)
    }

    /// From where on `text` must wait for what follows, because a value may have begun there. The text's length if nothing has.
    func undecided(in text: UnsafeRawBufferPointer, after previous: UInt8?) -> Int {
        var hold = text.count
        for layer in self where layer.hasNeedles { hold = Swift.min(hold, layer.needles.undecided(in: text)) }
        guard contains(where: \.hasWords) else { return hold }
        for layer in self where layer.hasWords { hold = Swift.min(hold, layer.words.undecided(in: text, after: previous)) }
        return MarkSyntax.uncut(Swift.min(hold, MarkSyntax.incomplete(in: text)), in: text)
    }
}
