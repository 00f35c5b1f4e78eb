/// A spelling found in a text.
struct Match {
    var start: Int
    var end: Int
    /// Index of the mark that takes its place.
    var mark: Int
    var role: SpellingList.Role

    @inline(__always)
    init(start: Int, entry: SpellingTable.Entry) {
        self.start = start
        end = start + Int(entry.length)
        mark = Int(entry.mark)
        role = entry.role
    }
}
