/// Redacts one stream in pieces, with the result that one pass over the whole would have.
///
/// A piece's end is held back only while it could be the beginning of a value, so that an ordinary log line goes out at once.
/// Where that would tell the writer something, a constant number is held back instead.
/// What is held is less than the longest spelling (about 160 bytes) and comes with the next piece or at the end. Words at the very end
/// wait for the byte that delimits them, and where they may stand in a key of JSON for its colon, up to 101 bytes behind them.
package struct RedactorStream: Sendable {
    private let redactor: Redactor
    private let tellsNothing: Bool
    private var passage = Passage()
    private var held: [UInt8] = []
    /// What `held` follows.
    private var preceding = Preceding()

    init(_ redactor: Redactor, tellsNothing: Bool) {
        self.redactor = redactor
        self.tellsNothing = tellsNothing
    }

    /// How many marks were written.
    package var hits: Int { passage.hits }

    /// How many bytes wait for what follows.
    package var heldBytes: Int { held.count }

    /// Appends to `out` what is certain after this piece.
    package mutating func push(_ piece: UnsafeBufferPointer<UInt8>, into out: inout [UInt8]) {
        if piece.isEmpty { return }
        if redactor.isEmpty {
            out.append(contentsOf: piece)
        } else if held.isEmpty {
            held = advance(over: UnsafeRawBufferPointer(piece), isLast: false, into: &out)
        } else {
            var text = takeHeld()
            text.append(contentsOf: piece)
            held = text.withUnsafeBytes { advance(over: $0, isLast: false, into: &out) }
        }
    }

    package mutating func push(_ piece: [UInt8], into out: inout [UInt8]) {
        piece.withUnsafeBufferPointer { push($0, into: &out) }
    }

    /// Appends what was held back. The stream can then begin anew.
    package mutating func finish(into out: inout [UInt8]) {
        _ = takeHeld().withUnsafeBytes { advance(over: $0, isLast: true, into: &out) }
        preceding = Preceding()
    }

    private mutating func takeHeld() -> [UInt8] {
        defer { held = [] }
        return held
    }

    /// Handles what is certain of `text` and returns the rest.
    private mutating func advance(over text: UnsafeRawBufferPointer, isLast: Bool, into out: inout [UInt8]) -> [UInt8] {
        let end = isLast ? text.count : tellsNothing ? redactor.unseen(in: text) : redactor.undecided(in: text, after: preceding)
        redactor.replace(in: text, before: end, after: preceding, passage: &passage, into: &out)
        passage.close(at: end, of: text, into: &out)
        preceding = preceding.moved(to: end, in: text)
        return end == text.count ? [] : Array(UnsafeRawBufferPointer(rebasing: text[end...]))
    }
}

extension RedactorStream: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "RedactorStream(\(hits) hits, \(heldBytes) bytes held)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}
