/// One of an author's own checks, which every deployment must pass.
public struct UserCheck: Hashable, Sendable, Codable {
    public enum Kind: String, Hashable, Sendable, Codable, CaseIterable { case test, type, lint }

    public var kind: Kind
    /// The tool, and what it is told.
    public var words: [String]

    public init(kind: Kind, words: [String]) {
        self.kind = kind
        self.words = words
    }

    /// What may stand first.
    public static func tools(of kind: Kind) -> [String] {
        switch kind {
        case .test: ["pytest", "unittest"]
        case .type: ["mypy"]
        case .lint: ["ruff"]
        }
    }

    public static let mostWords = 64

    /// Parts a command at its spaces; quotes hold together what is between them, and nothing is expanded.
    /// - Returns: nil where a quote is not closed.
    public static func words(of command: String) -> [String]? {
        var words: [String] = []
        var word: String?
        var quote: Character?
        for character in command {
            if character == quote {
                quote = nil
            } else if quote != nil {
                word?.append(character)
            } else if character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if character == " " {
                if let word { words.append(word) }
                word = nil
            } else {
                word = (word ?? "") + String(character)
            }
        }
        guard quote == nil else { return nil }
        if let word { words.append(word) }
        return words
    }
}
