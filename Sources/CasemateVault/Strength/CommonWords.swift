/// Values that a few words of a dictionary spell: `your-secret-key`, `Password123`, `changeMe!`.
enum CommonWords {
    /// From so many words on a value is a passphrase, which nobody guesses word by word.
    private static let passphrase = 5
    /// Letters from which a word may have digits: `7c1` is rather a part of a number.
    private static let shortestNumbered = 3
    /// The most digits at one end of a word, as of a year. More of them may be a number that nobody knows.
    private static let mostDigits = 4

    static func spell(_ value: [UInt8]) -> Bool {
        guard let words = letterRuns(of: value), (1..<passphrase).contains(words.count) else { return false }
        return CrackDictionary.withDictionary { dictionary in
            var count = 0
            var longest = 0
            for word in words {
                guard let parts = parts(of: word, dictionary) else { return false }
                count += parts
                longest = max(longest, word.count)
            }
            return count < passphrase && longest >= shortestNumbered
        } ?? false
    }

    /// The words to look up, in small letters: parts between punctuation or where a capital follows, without digits at one end. Nil if
    /// something in it is none of these.
    private static func letterRuns(of value: [UInt8]) -> [[UInt8]]? {
        var words: [[UInt8]] = []
        for part in value.split(whereSeparator: { !isLetter($0) && !isDigit($0) && $0 < 0x80 }) {
            let front = part.prefix(while: isDigit)
            let letters = part[front.endIndex...].prefix(while: isLetter)
            let back = part[letters.endIndex...]
            guard max(front.count, back.count) <= mostDigits, back.allSatisfy(isDigit), front.isEmpty || back.isEmpty else { return nil }
            if (1..<shortestNumbered).contains(letters.count), letters.count < part.count { return nil }
            words += humps(of: letters)
        }
        return words
    }

    /// `yourSecretKey` is three words.
    private static func humps(of letters: ArraySlice<UInt8>) -> [[UInt8]] {
        var words: [[UInt8]] = []
        var wasSmall = false
        for letter in letters {
            let isSmall = letter & 0x20 != 0
            if words.isEmpty || (wasSmall && !isSmall) { words.append([]) }
            words[words.count - 1].append(letter | 0x20)
            wasSmall = isSmall
        }
        return words
    }

    /// How many words of the dictionary `word` is made of: one, or two as in `changeme`. Nil if more, or none.
    private static func parts(of word: [UInt8], _ dictionary: borrowing CrackDictionary) -> Int? {
        if dictionary.contains(word[...]) { return 1 }
        guard word.count <= 2 * CrackDictionary.longestWord else { return nil }
        // Short ones would make words of any letters: one of the two has four or more, the other two.
        for cut in stride(from: 2, through: word.count - 2, by: 1) where max(cut, word.count - cut) >= 4 {
            if dictionary.contains(word[..<cut]) && dictionary.contains(word[cut...]) { return 2 }
        }
        return nil
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}
