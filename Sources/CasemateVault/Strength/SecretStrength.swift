/// How well a value can be protected.
///
/// A weak value is easy to guess, and texts have it by chance: redaction takes it for a secret only where it stands as a whole word, and the
/// scan of deployed source leaves it out.
public enum SecretStrength {
    public enum Weakness: String, Sendable, CaseIterable { case short, dictionaryWord = "dictionary-word", lowEntropy = "low-entropy" }

    /// Bytes up to which a value is looked up in the dictionary: four words at most, and none is longer than 31.
    private static let longestWords = 128

    /// What makes `value` weak. CR and LF around it do not count: a file's last newline is no part of the secret.
    public static func weaknesses(of value: [UInt8]) -> [Weakness] {
        let value = Array(Spellings.trimmed(value[...]))
        var weaknesses: [Weakness] = []
        if value.count < Spellings.shortestNeedle { weaknesses.append(.short) }
        if value.count <= longestWords, CommonWords.spell(value) { weaknesses.append(.dictionaryWord) }
        if SimplePattern.describes(value) { weaknesses.append(.lowEntropy) }
        return weaknesses
    }
}
