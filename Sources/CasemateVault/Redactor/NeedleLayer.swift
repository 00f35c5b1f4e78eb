/// The tables of one set of needles. A class, so that redactors share them and a cursor costs nothing to make.
final class NeedleLayer: Sendable {
    let needles: NeedleIndex
    let words: WordIndex
    let hasNeedles: Bool
    let hasWords: Bool

    init(_ spellings: Spellings) {
        needles = NeedleIndex(spellings.needles)
        words = WordIndex(spellings.words)
        hasNeedles = !needles.table.isEmpty
        hasWords = !words.table.isEmpty
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

    /// From where on `text` must wait for what follows, because a value may have begun there. The text's length if nothing has.
    func undecided(in text: UnsafeRawBufferPointer, after previous: UInt8?) -> Int {
        var hold = text.count
        for layer in self where layer.hasNeedles { hold = Swift.min(hold, layer.needles.undecided(in: text)) }
        guard contains(where: \.hasWords) else { return hold }
        for layer in self where layer.hasWords { hold = Swift.min(hold, layer.words.undecided(in: text, after: previous)) }
        return MarkSyntax.uncut(Swift.min(hold, MarkSyntax.incomplete(in: text)), in: text)
    }
}
