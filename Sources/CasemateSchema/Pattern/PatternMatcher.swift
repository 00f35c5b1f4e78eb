import CPCRE

/// Searches strings for patterns, one at a time; each check has its own.
///
/// PCRE2 backtracks, so that a search may take a time that doubles with each character, or grows with the square of them all. Its own limits
/// count per place of the string where the search begins anew, and not what a repetition walks over. So a callout before each item of
/// the pattern counts the items tried and the bytes walked, and ends the search with the budget: the same verdict on each machine.
final class PatternMatcher {
    /// Of PCRE2's own, where a pattern backtracks deeply; in KiB.
    private static let mostHeap: UInt32 = 8192

    /// What one search may cost and has cost.
    private struct Meter {
        var left: Int
        /// For each item: one, and what a repetition may walk before the next callout.
        let perItem: Int
        /// For 128 bytes walked.
        let perWalk: Int
        var place = 0

        init(_ pattern: Pattern, left: Int) {
            self.left = left
            perWalk = 8 + pattern.widestClass
            perItem = 1 + pattern.largestCount * perWalk / 128
        }
    }

    private let context: OpaquePointer
    private let data: OpaquePointer

    /// Nil where memory is out.
    init?() {
        guard let context = pcre2_match_context_create_8(nil) else { return nil }
        // Without captures, one pair of offsets is all there is.
        guard let data = pcre2_match_data_create_8(1, nil) else {
            pcre2_match_context_free_8(context)
            return nil
        }
        pcre2_set_heap_limit_8(context, Self.mostHeap)
        self.context = context
        self.data = data
    }

    deinit {
        pcre2_match_data_free_8(data)
        pcre2_match_context_free_8(context)
    }

    /// Whether the pattern is found.
    /// - Parameter work: what may be done, in items tried; what was done is taken off.
    /// - Returns: nil where that, or PCRE2's memory, was not enough to tell.
    func finds(_ pattern: Pattern, in text: JSONString, work: inout Int) -> Bool? {
        var meter = Meter(pattern, left: work)
        defer { work = meter.left }
        let result = withUnsafeMutablePointer(to: &meter) { meter in
            pcre2_set_callout_8(context, Self.count, meter)
            // Empty memory may have no address.
            let subject = text.utf8.isEmpty ? [0] : text.utf8
            // SAFETY: the subject and the meter stay for the call; PCRE2 checks itself that the subject is UTF-8.
            return subject.withUnsafeBufferPointer { pcre2_match_8(pattern.code, $0.baseAddress, text.utf8.count, 0, 0, data, context) }
        }
        switch result {
        case 0...: return true
        case PCRE2_ERROR_NOMATCH: return false
        default: return nil
        }
    }

    private static let count: @convention(c) (UnsafeMutablePointer<pcre2_callout_block_8>?, UnsafeMutableRawPointer?) -> Int32 = {
        block, meter in
        guard let block, let meter = meter?.assumingMemoryBound(to: Meter.self) else { return PCRE2_ERROR_CALLOUT }
        let place = block.pointee.current_position
        meter.pointee.left -= meter.pointee.perItem + abs(place - meter.pointee.place) * meter.pointee.perWalk / 128
        meter.pointee.place = place
        return meter.pointee.left > 0 ? 0 : PCRE2_ERROR_CALLOUT
    }
}
