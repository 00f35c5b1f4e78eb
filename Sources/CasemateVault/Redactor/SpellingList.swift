/// Spellings one behind the other in one block of bytes.
struct SpellingList: Sendable {
    /// What is done where a spelling stands.
    enum Role: UInt8, Comparable, Sendable {
        /// It is replaced by its mark.
        case value
        /// A later piece of a long value: it needs no mark of its own behind the piece before it.
        case continuation
        /// It stays, and so does what lies inside it.
        case kept

        static func < (first: Role, second: Role) -> Bool { first.rawValue < second.rawValue }
    }

    struct Entry: Sendable {
        var start: Int
        var length: Int
        var mark: Int
        var role: Role

        var range: Range<Int> { start..<start + length }
    }

    private(set) var bytes: [UInt8] = []
    private(set) var entries: [Entry] = []

    mutating func append(_ spelling: ArraySlice<UInt8>, mark: Int, role: Role) {
        entries.append(Entry(start: bytes.count, length: spelling.count, mark: mark, role: role))
        bytes.append(contentsOf: spelling)
    }
}

extension SpellingList: CustomReflectable {
    var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}
