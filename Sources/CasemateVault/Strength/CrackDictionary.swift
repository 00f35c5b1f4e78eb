import CCrack
import Glibc
import Synchronization

/// Debian's dictionary of words that crackers try first (cracklib), open for one question.
///
/// `FascistCheck` is no help: it calls each word under six letters too short, known or not, and ends the process where the dictionary can't be
/// opened. So words are looked up by what is beneath it.
struct CrackDictionary: ~Copyable {
    /// cracklib keeps words in 32 bytes with their NUL.
    static let longestWord = 31
    /// cracklib has one dictionary at a time, in static memory.
    private static let one = Mutex(())

    private let dictionary: UnsafeMutablePointer<PWDICT>
    /// What is said of a word that the dictionary does not have: its count of words.
    private let missing: UInt32

    /// Opened anew each time: `update-cracklib` writes the files in place.
    /// - Returns: Nil where there is no dictionary.
    static func withDictionary<Result>(at path: String = defaultPath, _ ask: (borrowing CrackDictionary) -> Result) -> Result? {
        one.withLock { _ in
            guard let dictionary = CrackDictionary(path) else { return nil }
            return ask(dictionary)
        }
    }

    private static var defaultPath: String { String(cString: GetDefaultCracklibDict()) }

    private init?(_ path: String) {
        // `PWOpen` would print what is missing.
        guard ["pwd", "pwi"].allSatisfy({ access("\(path).\($0)", R_OK) == 0 }) else { return nil }
        var mode = Array("r".utf8CString)
        guard let opened = PWOpen(path, &mode) else { return nil }
        dictionary = opened
        // No word begins with a control character.
        var none = Array("\u{1}".utf8CString)
        missing = FindPW(opened, &none)
    }

    deinit { PWClose(dictionary) }

    /// Whether `word`, in small letters, stands in the dictionary.
    func contains(_ word: ArraySlice<UInt8>) -> Bool {
        guard !word.isEmpty, word.count <= Self.longestWord else { return false }
        var text = word.map { CChar(bitPattern: $0) } + [0]
        return FindPW(dictionary, &text) != missing
    }
}
