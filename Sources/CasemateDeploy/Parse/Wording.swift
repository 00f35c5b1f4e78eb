/// How diagnostics show what a person wrote, and guess what they meant.
enum Wording {
    /// In double quotes, cut at 60 characters, with everything escaped that a terminal would obey or not show.
    /// Not for values that may be secret.
    static func quoted(_ text: some StringProtocol) -> String {
        var shown = ""
        for scalar in text.unicodeScalars.prefix(60) {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .unassigned, .privateUse:
                shown += "\\u{\(String(scalar.value, radix: 16))}"
            default:
                if scalar == "\"" || scalar == "\\" { shown += "\\" }
                shown.unicodeScalars.append(scalar)
            }
        }
        return "\"\(shown)\(text.unicodeScalars.dropFirst(60).isEmpty ? "" : "…")\""
    }

    /// What to do about a word that isn't known: the nearest known one, else all of them.
    static func fix(for word: String, known: [String]) -> String {
        if let near = nearest(to: word, among: known) { return "did you mean \"\(near)\"?" }
        return "known here: \(known.joined(separator: ", "))"
    }

    /// The candidate at most 2 edits away, or a third of the word's length, whichever is more.
    /// Digits must be the same: `python3.12` is no misspelt `python3.11`.
    static func nearest(to word: String, among candidates: [String]) -> String? {
        let bytes = Array(word.lowercased().utf8)
        guard bytes.count <= 60 else { return nil }
        let limit = max(2, bytes.count / 3)
        func digits(_ text: String) -> [UInt8] { text.utf8.filter { (48...57).contains($0) } }

        var best: (distance: Int, candidate: String)?
        for candidate in candidates where digits(candidate) == digits(word) {
            let distance = editDistance(bytes, Array(candidate.lowercased().utf8))
            if distance <= limit, distance < candidate.utf8.count, distance < best?.distance ?? .max { best = (distance, candidate) }
        }
        return best?.candidate
    }

    /// Insertions, deletions and substitutions (Levenshtein).
    static func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let substituted = diagonal + (a == b ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substituted, diagonal + 1, row[j] + 1)
            }
        }
        return row[right.count]
    }
}
