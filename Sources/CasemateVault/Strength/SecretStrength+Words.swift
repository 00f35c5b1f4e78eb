extension SecretStrength.Weakness {
    /// What the value is, behind "the value".
    fileprivate var what: String {
        switch self {
        case .short: "has under 8 bytes"
        case .dictionaryWord: "is made of dictionary words"
        case .lowEntropy: "follows a simple pattern"
        }
    }

    /// What protection that loses.
    public var warning: String {
        "the value \(what): it is easy to guess, redacted only where it stands as a whole word, and not looked for in deployed source"
    }
}

extension SecretStrength {
    /// `has under 8 bytes and is made of dictionary words`
    public static func words(_ weaknesses: [Weakness]) -> String { weaknesses.map(\.what).joined(separator: " and ") }
}
