@testable import CasemateVault

/// SplitMix64: the same cases on every run.
struct RedactorRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }

    mutating func bytes(_ length: Int, of alphabet: [UInt8]) -> [UInt8] {
        (0..<length).map { _ in alphabet[below(alphabet.count)] }
    }

    /// Cuts `text` at random places; some pieces are empty.
    mutating func pieces(of text: [UInt8]) -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var start = 0
        let longest = [1, 4, 15, 40, 100][below(5)]
        while start < text.count {
            let end = min(text.count, start + below(longest + 1))
            pieces.append(Array(text[start..<end]))
            start = end
        }
        return pieces
    }
}

/// Encoders written apart from ours, the plain way.
enum PlainEncoding {
    static func base64(_ value: [UInt8], url: Bool = false, padded: Bool = true) -> [UInt8] {
        let letters = Array(("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + (url ? "-_" : "+/")).utf8)
        var out: [UInt8] = []
        for start in stride(from: 0, to: value.count, by: 3) {
            let group = value[start..<min(start + 3, value.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for index in 0..<4 {
                if index <= group.count {
                    out.append(letters[bits >> (18 - 6 * index) & 63])
                } else if padded {
                    out.append(UInt8(ascii: "="))
                }
            }
        }
        return out
    }

    static func hex(_ value: [UInt8], upper: Bool = false) -> [UInt8] {
        value.flatMap { byte in
            let digits = String(byte, radix: 16, uppercase: upper)
            return Array((digits.count == 1 ? "0" + digits : digits).utf8)
        }
    }

    static func percent(_ value: [UInt8], upper: Bool = true, plus: Bool = false, keeping kept: String? = nil) -> [UInt8] {
        let kept = kept.map { Set($0.utf8) } ?? []
        return value.flatMap { byte -> [UInt8] in
            if kept.contains(byte) { return [byte] }
            if plus && byte == UInt8(ascii: " ") { return [UInt8(ascii: "+")] }
            return [UInt8(ascii: "%")] + hex([byte], upper: upper)
        }
    }

    static let unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

    static func json(_ value: String, ascii: Bool, upper: Bool = false, slash: Bool = false) -> [UInt8] {
        let short: [Unicode.Scalar: String] = [
            "\"": "\\\"", "\\": "\\\\", "\u{8}": "\\b", "\t": "\\t", "\n": "\\n", "\u{C}": "\\f", "\r": "\\r",
        ]
        var out = ""
        for scalar in value.unicodeScalars {
            if let escape = short[scalar] {
                out += escape
            } else if scalar == "/" && slash {
                out += "\\/"
            } else if scalar.value < 0x20 || (ascii && scalar.value > 0x7E) {
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16, uppercase: upper)
                    out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            } else {
                out.unicodeScalars.append(scalar)
            }
        }
        return Array(out.utf8)
    }
}

/// What a redactor must do, found by trying every spelling at every place.
struct NaiveRedactor {
    private var spellings = Spellings()
    private var marks: [[UInt8]]

    init(_ needles: [Needle], keeping kept: [[UInt8]] = []) {
        marks = needles.map(\.mark)
        for (index, needle) in needles.enumerated() { spellings.add(needle.value, mark: index, isWeak: needle.isWeak) }
        for text in kept { spellings.keep(text) }
    }

    private struct Found {
        var range: Range<Int>
        var mark: Int
        var role: SpellingList.Role
    }

    private func longest(_ list: SpellingList, _ text: [UInt8], _ start: Int, _ isFit: (Range<Int>) -> Bool) -> Found? {
        var best: Found?
        for entry in list.entries where start + entry.length <= text.count {
            guard text[start] == list.bytes[entry.start] else { continue }
            let range = start..<start + entry.length
            guard text[range].elementsEqual(list.bytes[entry.range]), isFit(range) else { continue }
            guard let known = best, known.range.count >= range.count else {
                best = Found(range: range, mark: entry.mark, role: entry.role)
                continue
            }
            if known.range.count == range.count, entry.role == .kept || entry.mark == known.mark {
                best!.role = max(known.role, entry.role)
            }
        }
        return best
    }

    /// In a name between quotes, with a colon behind them on the same line; by patterns, other than the code does it.
    private static func isKey(_ range: Range<Int>, in text: [UInt8]) -> Bool {
        func ascii(_ part: some Collection<UInt8>) -> String {
            String(decoding: part.map { $0 < 0x80 ? $0 : UInt8(ascii: "#") }, as: UTF8.self)
        }
        let before = ascii(text[..<range.lowerBound].suffix(70).reversed())
        let behind = ascii(text[range.upperBound...].prefix(110))
        return before.prefixMatch(of: /[A-Za-z0-9_.-]{0,64}"/) != nil
            && behind.prefixMatch(of: /[A-Za-z0-9_.-]{0,64}\\{0,3}"[ \t]{0,32}:/) != nil
    }

    func redact(_ text: [UInt8]) -> (bytes: [UInt8], hits: Int) {
        var isMarked = Array(repeating: false, count: text.count)
        var cuts: [Range<Int>] = []
        var index = 0
        while index < text.count {
            let end = text.withUnsafeBytes { bytes in
                if case .complete(let end) = MarkSyntax.mark(in: bytes, at: index) { end } else { index }
            }
            for inside in index..<end { isMarked[inside] = true }
            if end > index { cuts.append(index + 1..<end) }
            index = max(end, index + 1)
        }
        func isWord(_ index: Int) -> Bool { text.indices.contains(index) && isWordByte(text[index]) }

        var out: [UInt8] = []
        var hits = 0
        var covered = 0
        var kept = 0
        var last = -1
        for start in text.indices {
            let needle = longest(spellings.needles, text, start) { _ in true }
            let word = longest(spellings.words, text, start) { range in
                !isMarked[start] && !isWord(start - 1) && !isWord(range.upperBound) && !cuts.contains { $0.contains(range.upperBound) }
            }.flatMap { Self.isKey($0.range, in: text) ? nil : $0 }
            for found in [needle, word].compactMap({ $0 }).sorted(by: { $0.range.count > $1.range.count }) {
                if found.role == .kept {
                    if start >= covered { kept = max(kept, found.range.upperBound) }
                    continue
                }
                if found.range.upperBound <= max(covered, kept) { continue }
                let from = max(start, kept)
                let isOneWithLast = found.mark == last && (from < covered || (from == covered && found.role == .continuation))
                if !isOneWithLast {
                    if from > covered { out += text[covered..<from] }
                    out += marks[found.mark]
                    hits += 1
                    last = found.mark
                }
                covered = found.range.upperBound
            }
        }
        if covered < text.count { out += text[covered...] }
        return (out, hits)
    }
}

extension Redactor {
    /// `text` pushed in pieces.
    func stream(_ pieces: [[UInt8]], tellsNothing: Bool = false) -> (bytes: [UInt8], hits: Int) {
        var stream = makeStream(tellsNothing: tellsNothing)
        var out: [UInt8] = []
        for piece in pieces { stream.push(piece, into: &out) }
        stream.finish(into: &out)
        return (out, stream.hits)
    }

    /// `text` as it leaves, changed or not.
    func cleaned(_ text: String) -> String {
        let bytes = Array(text.utf8)
        return String(decoding: redact(bytes)?.bytes ?? bytes, as: UTF8.self)
    }
}

extension Needle {
    static func secret(_ name: String, _ value: String, isWeak: Bool = false) -> Needle {
        .secret(name: name, value: Array(value.utf8), isWeak: isWeak)
    }
}

extension [UInt8] {
    func contains(part: [UInt8]) -> Bool {
        if part.isEmpty || part.count > count { return part.isEmpty }
        return indices.dropLast(part.count - 1).contains { self[$0] == part[0] && self[$0..<$0 + part.count].elementsEqual(part) }
    }
}
