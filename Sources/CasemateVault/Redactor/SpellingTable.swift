/// Distinct spellings in byte order, each knowing the longest other one that begins it.
///
/// The order makes two questions cheap, whatever the spellings have in common: which is the longest that stands here, and whether
/// a text that breaks off could become one. Both take O(log n) comparisons of at most one spelling's length.
struct SpellingTable: Sendable {
    struct Entry: Sendable {
        var start: Int32
        var length: Int32
        /// The longest other entry that begins this one, or -1.
        var parent: Int32 = -1
        /// An entry further up the line of parents, or -1, so placed that any ancestor is O(log n) steps away.
        var jump: Int32 = -1
        var mark: Int32
        var role: SpellingList.Role
    }

    private(set) var entries: [Entry] = []
    private var bytes: [UInt8] = []
    /// Lengths of the longest and of the shortest spelling.
    private(set) var longest = 0
    private(set) var shortest = Int.max
    /// Which pairs of bytes a text may begin with in which a spelling begins: bit 256 a + b.
    private(set) var beginnings: [UInt64] = []
    /// Where the entries with a given first byte begin; one more element than there are bytes.
    private var firstBytes: [Int32] = []

    init(_ list: SpellingList) {
        if list.entries.isEmpty { return }
        sort(list)
        findParents()
        findBeginnings()
    }

    var isEmpty: Bool { entries.isEmpty }

    func withBytes<Result>(of index: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        bytes.withUnsafeBytes { all in
            let start = Int(entries[index].start)
            return body(UnsafeRawBufferPointer(rebasing: all[start..<start + Int(entries[index].length)]))
        }
    }

    /// The entries that begin with `byte`.
    func entries(beginningWith byte: UInt8) -> Range<Int> {
        Int(firstBytes[Int(byte)])..<Int(firstBytes[Int(byte) + 1])
    }

    /// Whether a spelling may begin in `text` at `start`. Says yes too often, but quickly.
    @inline(__always)
    func mayBegin(in text: UnsafeRawBufferPointer, at start: Int) -> Bool {
        guard start + 1 < text.count else { return true }
        let pair = Int(text[start]) << 8 | Int(text[start + 1])
        return beginnings[pair / 64] & (1 << UInt64(pair % 64)) != 0
    }

    /// The longest entry of `range` that stands in `text` at `start` and `isFit`.
    ///
    /// `range` must hold every entry that begins like the text does, as far as all of the range begins alike.
    @inline(__always)
    func longestMatch(
        in text: UnsafeRawBufferPointer,
        at start: Int,
        among range: Range<Int>,
        where isFit: (Entry) -> Bool
    ) -> Entry? {
        // The greatest entry that is not above the text begins with every entry that stands here.
        var low = range.lowerBound
        var high = range.upperBound
        // What the text has in common with the entries next to the range left; those between have at least the lesser in common.
        var commonBelow = 0
        var commonAbove = 0
        while low < high {
            let middle = (low + high) / 2
            let (isAbove, common) = compare(middle, with: text, at: start, from: min(commonBelow, commonAbove))
            if isAbove {
                high = middle
                commonAbove = common
            } else {
                low = middle + 1
                commonBelow = common
            }
        }
        var found = low > range.lowerBound ? low - 1 : -1
        while found >= 0 && entries[found].length > commonBelow {
            let jump = Int(entries[found].jump)
            found = jump >= 0 && entries[jump].length > commonBelow ? jump : Int(entries[found].parent)
        }
        while found >= 0 {
            let entry = entries[found]
            if isFit(entry) { return entry }
            found = Int(entry.parent)
        }
        return nil
    }

    /// Whether `text` from `start` to its end begins a longer spelling, or (with `orIsOne`) is one.
    func isContinued(_ text: UnsafeRawBufferPointer, from start: Int, orIsOne: Bool) -> Bool {
        let length = text.count - start
        guard length <= longest, mayBegin(in: text, at: start) else { return false }
        var (low, high) = (entries(beginningWith: text[start]).lowerBound, entries(beginningWith: text[start]).upperBound)
        let end = high
        while low < high {
            let middle = (low + high) / 2
            let (isAbove, common) = compare(middle, with: text, at: start, from: 0)
            if orIsOne && common == length && Int(entries[middle].length) == length { return true }
            if isAbove { high = middle } else { low = middle + 1 }
        }
        // What begins with the text comes right after it in byte order.
        return low < end && compare(low, with: text, at: start, from: 0).common == length
    }

    @inline(__always)
    private func compare(
        _ index: Int,
        with text: UnsafeRawBufferPointer,
        at start: Int,
        from known: Int
    ) -> (isAbove: Bool, common: Int) {
        let entry = entries[index]
        let length = Int(entry.length)
        return bytes.withUnsafeBytes { all in
            // SAFETY: an entry lies within `bytes`; of the text no more is read than it has.
            let limit = min(length, text.count - start)
            let common =
                known
                + commonPrefix(of: all, at: Int(entry.start) + known, and: text, at: start + known, limit: limit - known)
            if common == length { return (false, common) }
            if common == text.count - start { return (true, common) }
            return (all[Int(entry.start) + common] > text[start + common], common)
        }
    }
}

extension SpellingTable {
    private mutating func sort(_ list: SpellingList) {
        list.bytes.withUnsafeBytes { all in
            func compare(_ first: SpellingList.Entry, _ second: SpellingList.Entry) -> Int {
                // SAFETY: both entries lie within the list's bytes.
                let limit = min(first.length, second.length)
                let common = commonPrefix(of: all, at: first.start, and: all, at: second.start, limit: limit)
                if common == limit { return first.length - second.length }
                return Int(all[first.start + common]) - Int(all[second.start + common])
            }
            // The eight first bytes as a number settle nearly every comparison.
            let keyed = list.entries.enumerated().map { order, entry in
                var key: UInt64 = 0
                for index in 0..<min(8, entry.length) { key |= UInt64(all[entry.start + index]) << UInt64(56 - 8 * index) }
                return (key: key, order: order)
            }
            let sorted = keyed.sorted { first, second in
                if first.key != second.key { return first.key < second.key }
                let difference = compare(list.entries[first.order], list.entries[second.order])
                return difference == 0 ? first.order < second.order : difference < 0
            }
            bytes.reserveCapacity(all.count)
            entries.reserveCapacity(sorted.count)
            var previous: SpellingList.Entry?
            for (_, order) in sorted {
                let entry = list.entries[order]
                if let previous, compare(previous, entry) == 0 {
                    // The needle that came first gives its mark.
                    let last = entries.count - 1
                    if entry.role == .kept || entry.mark == Int(entries[last].mark) {
                        entries[last].role = max(entries[last].role, entry.role)
                    }
                    continue
                }
                previous = entry
                entries.append(
                    Entry(
                        start: Int32(bytes.count),
                        length: Int32(entry.length),
                        mark: Int32(entry.mark),
                        role: entry.role
                    )
                )
                bytes.append(contentsOf: all[entry.range])
            }
        }
    }

    private mutating func findParents() {
        var depths = Array(repeating: 1, count: entries.count)
        func depth(_ index: Int32) -> Int { index < 0 ? 0 : depths[Int(index)] }
        func jump(_ index: Int32) -> Int32 { index < 0 ? -1 : entries[Int(index)].jump }
        for index in entries.indices.dropFirst() {
            // In byte order an entry follows those that begin it, with only their other continuations between.
            var parent = Int32(index - 1)
            while parent >= 0 && !begins(Int(parent), index) { parent = entries[Int(parent)].parent }
            entries[index].parent = parent
            depths[index] = depth(parent) + 1
            let far = jump(parent)
            entries[index].jump = depth(parent) - depth(far) == depth(far) - depth(jump(far)) ? jump(far) : parent
        }
    }

    private func begins(_ first: Int, _ second: Int) -> Bool {
        let (first, second) = (entries[first], entries[second])
        guard first.length < second.length else { return false }
        return bytes.withUnsafeBytes { all in
            // SAFETY: both entries lie within `bytes`.
            let length = Int(first.length)
            return commonPrefix(of: all, at: Int(first.start), and: all, at: Int(second.start), limit: length) == length
        }
    }

    private mutating func findBeginnings() {
        beginnings = Array(repeating: 0, count: (1 << 16) / 64)
        firstBytes = Array(repeating: 0, count: 257)
        for (index, entry) in entries.enumerated() {
            longest = max(longest, Int(entry.length))
            shortest = min(shortest, Int(entry.length))
            let first = Int(bytes[Int(entry.start)])
            firstBytes[first + 1] = Int32(index + 1)
            if entry.length == 1 {
                for word in first * 4..<first * 4 + 4 { beginnings[word] = .max }
            } else {
                let pair = first << 8 | Int(bytes[Int(entry.start) + 1])
                beginnings[pair / 64] |= 1 << UInt64(pair % 64)
            }
        }
        for byte in 1...256 { firstBytes[byte] = max(firstBytes[byte], firstBytes[byte - 1]) }
    }
}

extension SpellingTable: CustomReflectable {
    var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}
