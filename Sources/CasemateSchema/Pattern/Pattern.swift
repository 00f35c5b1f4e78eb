import CPCRE

/// A compiled pattern of `pattern` or `patternProperties`: found anywhere in a string, code points as its characters.
///
/// Shared by all checks at once. pcre2api(3), "Multithreading": compiled code "can be used by any number of threads" as it is read only
/// (without JIT); what a match needs besides is a `PatternMatcher`'s.
final class Pattern: @unchecked Sendable {
    static let mostBytes = 1024
    /// Backslash C would split code points. `$` is the very end, as in ECMA-262, not also before a last line end.
    /// A callout before each item is where a match's work is counted, see `PatternMatcher`.
    private static let options = UInt32(PCRE2_UTF) | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT

    let source: String
    /// See `PatternTranslator`.
    let largestCount: Int
    let widestClass: Int
    let code: OpaquePointer

    init(_ source: String) throws(PatternFault) {
        guard source.utf8.count <= Self.mostBytes else {
            throw PatternFault("has more than \(Self.mostBytes) bytes", "write a shorter pattern, or two under allOf")
        }
        var translator = PatternTranslator(source)
        let translated = Array(try translator.translate().utf8)
        var number: Int32 = 0
        var offset = 0
        // SAFETY: PCRE2 copies what it keeps of the text.
        let code = translated.withUnsafeBufferPointer { pcre2_compile_8($0.baseAddress, $0.count, Self.options, &number, &offset, nil) }
        guard let code else { throw PatternFault("is not taken: \(Self.message(number))", "write a simpler pattern") }
        self.source = source
        self.largestCount = translator.largestCount
        self.widestClass = translator.widestClass
        self.code = code
    }

    deinit { pcre2_code_free_8(code) }

    /// What it keeps in memory: a few bytes of repetition may be 64 KiB.
    var compiledBytes: Int {
        var size = 0
        return pcre2_pattern_info_8(code, UInt32(PCRE2_INFO_SIZE), &size) == 0 ? size : .max
    }

    private static func message(_ number: Int32) -> String {
        var text = [UInt8](repeating: 0, count: 256)
        let length = pcre2_get_error_message_8(number, &text, text.count)
        return length > 0 ? String(decoding: text.prefix(Int(length)), as: UTF8.self) : "error \(number)"
    }
}
