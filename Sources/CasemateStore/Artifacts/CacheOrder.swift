/// Which of the archives on this machine were used last, and what has to go when there are too many.
struct CacheOrder {
    private struct Entry {
        var sizeInBytes: Int
        var used: UInt64
    }

    let limitInBytes: Int
    private(set) var sizeInBytes = 0
    private var entries: [String: Entry] = [:]
    private var uses: UInt64 = 0

    /// - Parameter found: what is there already, that which was used longest ago first.
    init(limitInBytes: Int, found: [(digest: String, sizeInBytes: Int)]) {
        self.limitInBytes = limitInBytes
        for entry in found { add(entry.digest, sizeInBytes: entry.sizeInBytes) }
    }

    mutating func add(_ digest: String, sizeInBytes: Int) {
        remove(digest)
        uses += 1
        entries[digest] = Entry(sizeInBytes: sizeInBytes, used: uses)
        self.sizeInBytes += sizeInBytes
    }

    mutating func use(_ digest: String) {
        uses += 1
        entries[digest]?.used = uses
    }

    mutating func remove(_ digest: String) {
        if let entry = entries.removeValue(forKey: digest) { sizeInBytes -= entry.sizeInBytes }
    }

    /// Lets go of what was not used for the longest time, until the rest is within the limit.
    /// - Parameters:
    ///   - newest: stays in any case.
    ///   - mayGo: whether one is somewhere else, too.
    mutating func makeRoom(keeping newest: String?, where mayGo: (String) -> Bool) -> [String] {
        guard sizeInBytes > limitInBytes else { return [] }
        var gone: [String] = []
        for (digest, _) in entries.sorted(by: { $0.value.used < $1.value.used }) where digest != newest && mayGo(digest) {
            remove(digest)
            gone.append(digest)
            if sizeInBytes <= limitInBytes { break }
        }
        return gone
    }
}
