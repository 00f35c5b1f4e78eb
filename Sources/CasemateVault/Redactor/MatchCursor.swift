/// Merges what several cursors find: by place, at one place the longest first.
struct MatchCursor {
    private var needles: [NeedleCursor]
    private var words: [WordCursor]
    /// What each cursor found last and was not asked for yet: needles first, then words.
    private var found: [Match?] = []

    init(_ layers: [NeedleLayer], in text: UnsafeRawBufferPointer, before limit: Int, after preceding: Preceding) {
        needles = layers.filter(\.hasNeedles).map { NeedleCursor($0, in: text, before: limit) }
        words = layers.filter(\.hasWords).map { WordCursor($0, in: text, before: limit, after: preceding) }
        for cursor in 0..<needles.count + words.count { found.append(advance(cursor)) }
    }

    mutating func next() -> Match? {
        var best: (match: Match, cursor: Int)?
        for (cursor, candidate) in found.enumerated() {
            guard let candidate else { continue }
            if let (match, _) = best, (match.start, -match.end) <= (candidate.start, -candidate.end) { continue }
            best = (candidate, cursor)
        }
        guard let (match, cursor) = best else { return nil }
        found[cursor] = advance(cursor)
        return match
    }

    private mutating func advance(_ cursor: Int) -> Match? {
        cursor < needles.count ? needles[cursor].next() : words[cursor - needles.count].next()
    }
}
