/// Finds needles of eight bytes and more anywhere in a text.
///
/// A `BlockFilter` says where one may begin. The eight bytes there, looked up in a hash table, give the needles that begin so; the
/// table of spellings gives the longest of these. What a place costs is therefore bounded, however much the needles have in common.
struct NeedleIndex: Sendable {
    private struct Bucket: Sendable {
        var key: UInt64
        var low: Int32
        var high: Int32
    }

    let table: SpellingTable
    private(set) var filter: BlockFilter
    private var buckets: [Bucket] = []
    /// Unknown to the functions, so that nobody picks secrets that collide.
    private let seed = UInt64.random(in: .min ... .max)

    init(_ spellings: SpellingList) {
        let table = SpellingTable(spellings)
        self.table = table
        filter = BlockFilter(shortest: table.isEmpty ? 8 : table.shortest, count: table.entries.count)
        if table.isEmpty { return }
        let capacity = 2 << (Int.bitWidth - table.entries.count.leadingZeroBitCount)
        buckets = Array(repeating: Bucket(key: 0, low: 0, high: 0), count: capacity)
        for index in table.entries.indices {
            table.withBytes(of: index) { needle in
                filter.register(needle)
                insert(needle.loadUnaligned(as: UInt64.self), index)
            }
        }
    }

    /// The longest needle that stands in `text` at `start`.
    @inline(__always)
    func match(in text: UnsafeRawBufferPointer, at start: Int) -> Match? {
        guard start + 8 <= text.count else { return nil }
        let key = text.loadUnaligned(fromByteOffset: start, as: UInt64.self)
        var slot = firstSlot(of: key)
        while buckets[slot].high != 0 {
            let bucket = buckets[slot]
            if bucket.key == key {
                let entry = table.longestMatch(in: text, at: start, among: Int(bucket.low)..<Int(bucket.high)) { _ in true }
                return entry.map { Match(start: start, entry: $0) }
            }
            slot = (slot + 1) & (buckets.count - 1)
        }
        return nil
    }

    /// From where on `text` could be the beginning of a needle that it breaks off. The text's length if it could not.
    func undecided(in text: UnsafeRawBufferPointer) -> Int {
        for start in max(0, text.count - table.longest + 1)..<text.count {
            if start + BlockFilter.blockLength <= text.count && !filter.mayBegin(in: text, at: start) { continue }
            if table.isContinued(text, from: start, orIsOne: false) { return start }
        }
        return text.count
    }

    /// Entries come in byte order, so those with one key come one after the other.
    private mutating func insert(_ key: UInt64, _ index: Int) {
        var slot = firstSlot(of: key)
        while buckets[slot].high != 0 && buckets[slot].key != key { slot = (slot + 1) & (buckets.count - 1) }
        if buckets[slot].high == 0 { buckets[slot] = Bucket(key: key, low: Int32(index), high: Int32(index)) }
        buckets[slot].high += 1
    }

    @inline(__always)
    private func firstSlot(of key: UInt64) -> Int {
        let product = (key ^ seed).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        return Int(truncatingIfNeeded: product.high ^ product.low) & (buckets.count - 1)
    }
}

extension NeedleIndex: CustomReflectable {
    var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}
