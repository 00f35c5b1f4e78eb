/// Replaces secret values by marks, in every encoding in which they are commonly printed.
///
/// The journey of a value: `Needle` → `Spellings` (lines, encodings, pieces) → `NeedleIndex` or, short and weak ones, `WordIndex`.
/// The journey of a text: cursors over these find matches → `MatchCursor` puts them in order → `Passage` writes the rest and the marks.
///
/// The encodings: as it is, JSON-escaped once or twice, base64 and base64url at each alignment, hex, percent-encoded. A value otherwise
/// encoded twice, wrapped base64 and a value broken up by other bytes are not found. No text that has a whole value in one of these keeps any byte of it,
/// but for the up to four bits that base64 shares with the character next to it. Weak values are an exception: they count as whole words
/// only, and not in keys of JSON objects.
///
/// Time is linear in the text: what a place costs has a bound, however the needles are chosen. Memory goes by the length of all encodings:
/// about 0.4 MB for 100 values of 30 bytes, 2 MB for one of 64 KiB, 14 MB where nearly every byte of that needs escaping.
package struct Redactor: Sendable {
    private var layers: [NeedleLayer] = []
    /// Each distinct mark; matches name them by their index.
    private var marks: [[UInt8]] = []

    /// Builds the tables; to be done once per revision. Of needles with the same value, the first gives the mark.
    package init(_ needles: [Needle]) {
        append(needles)
    }

    /// The same redactor with `needles` besides its own, as the tokens of one call. Its own tables are shared, not built again.
    package func adding(_ needles: [Needle]) -> Redactor {
        var redactor = self
        redactor.append(needles)
        return redactor
    }

    /// Whether there is nothing to look for.
    package var isEmpty: Bool { layers.isEmpty }

    /// `text` with marks for values, or nil when it has none. Beginning and end of the text delimit words.
    package func redact(_ text: UnsafeBufferPointer<UInt8>) -> RedactedText? {
        let text = UnsafeRawBufferPointer(text)
        var passage = Passage()
        var out: [UInt8] = []
        replace(in: text, before: text.count, after: Preceding(), passage: &passage, into: &out)
        if passage.hits == 0 { return nil }
        passage.close(at: text.count, of: text, into: &out)
        return RedactedText(bytes: out, hits: passage.hits)
    }

    /// `text` with marks for values, or nil when it has none.
    package func redact(_ text: [UInt8]) -> RedactedText? {
        text.withUnsafeBufferPointer { redact($0) }
    }

    /// Where the first value stands in `text`, and the mark that would replace it.
    package func firstMatch(in text: UnsafeBufferPointer<UInt8>) -> (range: Range<Int>, mark: [UInt8])? {
        var kept = 0
        var first: Match?
        layers.eachMatch(in: UnsafeRawBufferPointer(text), before: text.count, after: Preceding()) { match in
            if match.role == .kept {
                kept = max(kept, match.end)
            } else if match.end > kept {
                first = match
            }
            return first == nil
        }
        return first.map { (max($0.start, kept)..<$0.end, marks[$0.mark]) }
    }

    package func firstMatch(in text: [UInt8]) -> (range: Range<Int>, mark: [UInt8])? {
        text.withUnsafeBufferPointer { firstMatch(in: $0) }
    }

    package func contains(_ text: UnsafeBufferPointer<UInt8>) -> Bool { firstMatch(in: text) != nil }
    package func contains(_ text: [UInt8]) -> Bool { firstMatch(in: text) != nil }

    /// As for bytes; a native string is not copied.
    package func contains(_ text: String) -> Bool {
        text.utf8.withContiguousStorageIfAvailable { contains($0) } ?? contains(Array(text.utf8))
    }

    package func redact(_ text: String) -> RedactedText? {
        // Two levels of nil: not contiguous, and nothing found.
        if let found = text.utf8.withContiguousStorageIfAvailable({ redact($0) }) { return found }
        return redact(Array(text.utf8))
    }

    /// For a text that comes in pieces.
    /// - Parameter tellsNothing: for a text of someone who sees how it leaves and does not know the values; the last 261 bytes of a line that
    ///   goes on are then held back, whatever they are.
    package func makeStream(tellsNothing: Bool = false) -> RedactorStream { RedactorStream(self, tellsNothing: tellsNothing) }
}

/// A text in which marks stand for values.
package struct RedactedText: Equatable, Sendable {
    package var bytes: [UInt8]
    /// How many marks were written.
    package var hits: Int
}

extension Redactor {
    /// Replaces the values that begin before `limit`. What follows the last of them is not written.
    func replace(
        in text: UnsafeRawBufferPointer,
        before limit: Int,
        after preceding: Preceding,
        passage: inout Passage,
        into out: inout [UInt8]
    ) {
        layers.eachMatch(in: text, before: limit, after: preceding) { match in
            passage.take(match, marks: marks, text: text, into: &out)
            return true
        }
    }

    /// From where on a piece of text must wait for the next one.
    func undecided(in text: UnsafeRawBufferPointer, after preceding: Preceding) -> Int {
        layers.undecided(in: text, after: preceding)
    }

    /// As `undecided`, by the text's length alone.
    func unseen(in text: UnsafeRawBufferPointer) -> Int { layers.unseen(in: text) }

    private mutating func append(_ needles: [Needle]) {
        var spellings = Spellings()
        for needle in needles where !needle.value.isEmpty {
            let mark = marks.firstIndex(of: needle.mark) ?? marks.count
            if mark == marks.count { marks.append(needle.mark) }
            spellings.add(needle.value, mark: mark, isWeak: needle.isWeak)
        }
        if spellings.isEmpty { return }
        layers.append(NeedleLayer(spellings))
        // A value that lies within a mark, as a secret named like another's value, must not tear it up.
        let kept = marks.filter { $0.count >= Spellings.shortestNeedle && contains($0) }
        if kept.isEmpty { return }
        for mark in kept { spellings.keep(mark) }
        layers[layers.count - 1] = NeedleLayer(spellings)
    }
}

extension Redactor: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "Redactor(\(marks.count) marks)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}
