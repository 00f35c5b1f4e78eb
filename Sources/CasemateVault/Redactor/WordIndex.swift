/// Finds short and weak values, as whole words only.
struct WordIndex: Sendable {
    let table: SpellingTable
    /// For each byte, bit 0 if words are made of it, bit 1 if it begins a mark, which need not follow a delimiter.
    private var classes: [UInt64] = []
    /// The pairs of bytes with which a spelling or a mark may begin: bit 256 a + b.
    private var beginnings: [UInt64] = []

    init(_ spellings: SpellingList) {
        table = SpellingTable(spellings)
        if table.isEmpty { return }
        let bracket = UInt8(ascii: "[")
        classes = (UInt8.min ... .max).map { $0 == bracket ? 2 : isWordByte($0) ? 1 : 0 }
        beginnings = table.beginnings
        for second in [UInt8(ascii: "s"), UInt8(ascii: "t")] {
            let pair = Int(bracket) << 8 | Int(second)
            beginnings[pair / 64] |= 1 << UInt64(pair % 64)
        }
    }

    /// Where from `start` on, after the byte `previous`, a word to hide or a mark may begin; the text's length if nowhere.
    @inline(__always)
    func candidate(in text: UnsafeRawBufferPointer, from start: Int, after previous: UInt8?) -> Int {
        classes.withUnsafeBufferPointer { classes in
            beginnings.withUnsafeBufferPointer { beginnings in
                // SAFETY: `classes` has an element for every byte, `beginnings` a bit for every pair of bytes.
                var before = previous.map { classes[Int($0)] } ?? 0
                var position = start
                while position &+ 1 < text.count {
                    let first = Int(text[position])
                    let here = classes[first]
                    let pair = first &<< 8 | Int(text[position &+ 1])
                    let mayBegin = beginnings[pair &>> 6] &>> UInt64(truncatingIfNeeded: pair)
                    // One branch, hardly ever taken: words begin too irregularly to be predicted.
                    if mayBegin & (~before | here &>> 1) & 1 != 0 { return position }
                    before = here
                    position &+= 1
                }
                return before & 1 == 0 ? position : text.count
            }
        }
    }

    /// The longest word that stands in `text` at `start`, which is known to follow a delimiter or nothing. None in the key of a JSON object:
    /// it names the value, and whoever reads the text needs it.
    @inline(__always)
    func match(in text: UnsafeRawBufferPointer, at start: Int, after preceding: Preceding) -> Match? {
        guard let word = word(in: text, at: start) else { return nil }
        return keyReading(of: word, in: text, after: preceding) == .complete ? nil : word
    }

    /// From where on `text` could be the beginning of a word that it breaks off, or has one of which what follows decides whether it counts.
    ///
    /// - Parameter mark: Where a mark begins that the text breaks off, or the text's end.
    func undecided(in text: UnsafeRawBufferPointer, after preceding: Preceding, mark: Int) -> Int {
        for start in max(0, min(text.count - KeySyntax.longestEnd, mark) - table.longest)..<text.count {
            if let before = start > 0 ? text[start - 1] : preceding.byte, isWordByte(before) { continue }
            if table.isContinued(text, from: start, orIsOne: true) { return start }
            guard let word = word(in: text, at: start) else { continue }
            if start < mark && mark < word.end { return start }
            if keyReading(of: word, in: text, after: preceding) == .incomplete { return start }
        }
        return text.count
    }

    /// Whether `word` is part of a key.
    private func keyReading(of word: Match, in text: UnsafeRawBufferPointer, after preceding: Preceding) -> KeySyntax.Reading {
        preceding.moved(to: word.start, in: text).nameLength == nil ? .none : KeySyntax.end(in: text, at: word.end)
    }

    @inline(__always)
    private func word(in text: UnsafeRawBufferPointer, at start: Int) -> Match? {
        guard table.mayBegin(in: text, at: start) else { return nil }
        let entry = table.longestMatch(in: text, at: start, among: table.entries(beginningWith: text[start])) { entry in
            let end = start + Int(entry.length)
            guard end == text.count || !isWordByte(text[end]) else { return false }
            // A word that ends within a mark would tear it up.
            return MarkSyntax.uncut(end, in: text, from: start + 1) == end
        }
        return entry.map { Match(start: start, entry: $0) }
    }
}

extension WordIndex: CustomReflectable {
    var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}
