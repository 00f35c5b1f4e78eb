/// Every spelling of the values to look for, in the order in which they were added.
///
/// A value becomes its lines, each of them its encodings, each of those pieces:
/// - CR and LF around the value do not count: a file's last newline is no part of the secret.
/// - A value of 8 bytes or more goes to `needles` and is found anywhere. If it has several lines, each line of 8 bytes or
///   more is a value too, but for a PEM boundary. A written-out `\n`, as in a JSON key file, ends a line as well.
/// - A shorter value, and a weak one, goes to `words` and is found as a whole word only; so does each line of it that has three bytes or
///   more.
/// - A spelling longer than `pieceLimit` is cut into pieces that touch or overlap. Each piece is found by itself, so that
///   the printed value is covered end to end while no comparison is longer than a piece.
struct Spellings: Sendable {
    /// Bytes from which a value is found anywhere, not only as a word.
    static let shortestNeedle = 8
    /// Bytes from which a line of a word, and the hex and base64 of one, tell enough to be looked for.
    private static let shortestLine = 3
    /// The usual length of a piece.
    static let pieceLength = 128
    /// The longest spelling that is left whole.
    static let pieceLimit = 160

    var isEmpty: Bool { needles.entries.isEmpty && words.entries.isEmpty }

    private(set) var needles = SpellingList()
    private(set) var words = SpellingList()

    mutating func add(_ value: [UInt8], mark: Int, isWeak: Bool = false) {
        let value = Self.trimmed(value[...])
        if value.isEmpty { return }
        let lines = Self.lines(of: value)
        if value.count < Self.shortestNeedle || (isWeak && Self.fitsAsWord(value)) {
            addWord(Array(value), mark: mark)
            for line in lines where lines.count > 1 && line.count >= Self.shortestLine { addWord(Array(line), mark: mark) }
            return
        }
        addNeedle(Array(value), mark: mark)
        for line in lines where lines.count > 1 && line.count >= Self.shortestNeedle && !Self.isPEMBoundary(line) {
            addNeedle(Array(line), mark: mark)
        }
    }

    /// A text that stays as it is, needles and all.
    mutating func keep(_ text: [UInt8]) {
        needles.append(text[...], mark: 0, role: .kept)
    }

    private mutating func addNeedle(_ value: [UInt8], mark: Int) {
        addPieces(of: value, mark: mark)
        for spelling in JSONSpelling.all(of: value) {
            addPieces(of: spelling, mark: mark)
            // JSON as a string inside JSON: `{"dump": json.dumps(…)}`, or a log line of JSON in a structured log.
            for twice in JSONSpelling.all(of: spelling) { addPieces(of: twice, mark: mark) }
        }
        for spelling in (0..<3).flatMap({ Base64Spelling.all(of: value, at: $0) }) {
            addPieces(of: spelling.inner, mark: mark)
            for closed in spelling.closed { addEnd(of: closed, mark: mark) }
        }
        for spelling in PercentSpelling.all(of: value) { addPieces(of: spelling, mark: mark) }
        addPieces(of: HexDigits.lower.spell(value), mark: mark)
        addPieces(of: HexDigits.upper.spell(value), mark: mark)
    }

    private mutating func addWord(_ value: [UInt8], mark: Int) {
        for spelling in Self.wordSpellings(of: value) { words.append(spelling[...], mark: mark, role: .value) }
    }

    private static func wordSpellings(of value: [UInt8]) -> [[UInt8]] {
        let spellings = [value] + JSONSpelling.all(of: value) + PercentSpelling.all(of: value)
        // The hex of one or two bytes is any small number, and their base64 any syllable: a log would lose its sense.
        guard value.count >= shortestLine else { return spellings }
        let base64 = Base64Spelling.all(of: value, at: 0).flatMap { $0.closed.isEmpty ? [$0.inner] : $0.closed }
        return spellings + base64 + [HexDigits.lower.spell(value), HexDigits.upper.spell(value)]
    }

    /// Words are compared whole, so each must fit into what a stream holds back. A longer value hardly stands in a text by chance: it is
    /// found anywhere, weak or not.
    private static func fitsAsWord(_ value: ArraySlice<UInt8>) -> Bool {
        value.count <= pieceLimit && wordSpellings(of: Array(value)).allSatisfy { $0.count <= pieceLimit }
    }

    private mutating func addPieces(of spelling: [UInt8], mark: Int) {
        var start = 0
        while true {
            var end = spelling.count
            if end - start > Self.pieceLimit {
                end = start + Self.pieceLength
                // A character stays whole where the text is UTF-8; where it is not, three steps back do no harm.
                for _ in 0..<3 where spelling[end] & 0xC0 == 0x80 { end -= 1 }
            }
            needles.append(spelling[start..<end], mark: mark, role: start == 0 ? .value : .continuation)
            if end == spelling.count { return }
            // The last piece is as long as the others and so overlaps the one before it.
            start = Self.pieceStart(notAfter: min(end, spelling.count - Self.pieceLength), in: spelling)
        }
    }

    /// Adds the last piece only, for a spelling whose other pieces are known.
    private mutating func addEnd(of spelling: [UInt8], mark: Int) {
        if spelling.count <= Self.pieceLimit {
            needles.append(spelling[...], mark: mark, role: .value)
        } else {
            needles.append(spelling.suffix(Self.pieceLength), mark: mark, role: .continuation)
        }
    }

    /// The nearest good place for a piece to begin: at a character, and with no line end in its first bytes. A piece that began
    /// with a newline would make a stream hold back the end of every line it forwards.
    private static func pieceStart(notAfter latest: Int, in spelling: [UInt8]) -> Int {
        for start in stride(from: latest, to: latest - (pieceLimit - pieceLength), by: -1)
        where spelling[start] & 0xC0 != 0x80 && !spelling[start..<start + shortestNeedle].contains(where: isLineEnd) {
            return start
        }
        return latest
    }
}

extension Spellings {
    private static func isLineEnd(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r")
    }

    static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard let first = text.firstIndex(where: { !isLineEnd($0) }), let last = text.lastIndex(where: { !isLineEnd($0) }) else {
            return []
        }
        return text[first...last]
    }

    private static func lines(of value: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
        var lines: [ArraySlice<UInt8>] = []
        var start = value.startIndex
        var index = start
        while index < value.endIndex {
            var next = index + 1
            if value[index] == UInt8(ascii: "\\"), next < value.endIndex, value[next] == UInt8(ascii: "n") {
                next += 1
            } else if value[index] != UInt8(ascii: "\n") {
                index = next
                continue
            }
            lines.append(trimmed(value[start..<index]))
            start = next
            index = next
        }
        lines.append(trimmed(value[start...]))
        return lines
    }

    /// `-----BEGIN X-----` and `-----END X-----` (RFC 7468 §2) stand in public certificates too.
    private static func isPEMBoundary(_ line: ArraySlice<UInt8>) -> Bool {
        (line.starts(with: "-----BEGIN ".utf8) || line.starts(with: "-----END ".utf8)) && line.suffix(5).elementsEqual("-----".utf8)
    }
}

extension Spellings: CustomReflectable {
    var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}
