/// How far the replacing of one text has come. Offsets count from the beginning of the piece at hand.
///
/// Everything that any match covers is replaced. Where matches overlap, the one that begins first gives the first mark, the longest
/// where several begin; another needle's match that reaches further adds its own mark, the same needle's adds none.
struct Passage {
    /// The text before this offset is written or replaced.
    private(set) var replaced = 0
    /// No match inside a kept text counts: this is where the last one ends.
    private var kept = 0
    /// The mark whose text ends at `replaced`, or -1.
    private var mark = -1
    /// Marks written.
    private(set) var hits = 0

    @inline(__always)
    mutating func take(_ match: Match, marks: [[UInt8]], text: UnsafeRawBufferPointer, into out: inout [UInt8]) {
        if match.role == .kept {
            if match.start >= replaced { kept = max(kept, match.end) }
            return
        }
        guard match.end > max(replaced, kept) else { return }
        let start = max(match.start, kept)
        let goesOn = start < replaced || (start == replaced && match.role == .continuation)
        if !goesOn || match.mark != mark {
            write(upTo: start, of: text, into: &out)
            out.append(contentsOf: marks[match.mark])
            hits += 1
            mark = match.mark
        }
        replaced = match.end
    }

    /// Writes what is left before `end` and counts offsets from there.
    mutating func close(at end: Int, of text: UnsafeRawBufferPointer, into out: inout [UInt8]) {
        write(upTo: end, of: text, into: &out)
        if replaced < end { mark = -1 }
        replaced = max(0, replaced - end)
        kept = max(0, kept - end)
    }

    private func write(upTo end: Int, of text: UnsafeRawBufferPointer, into out: inout [UInt8]) {
        if end > replaced { out.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[replaced..<end])) }
    }
}
