/// Which frozen instances may stay: as many as fit the memory, those used least recently go first.
struct FrozenBudget<Key: Hashable> {
    /// In bytes.
    let limit: Int
    private(set) var used = 0
    private var sizes: [Key: Int] = [:]
    /// Oldest first.
    private var order: [Key] = []

    init(limit: Int) { self.limit = limit }

    var count: Int { sizes.count }

    /// Takes one in; answers which must go for it, perhaps itself.
    mutating func admit(_ key: Key, bytes: Int) -> [Key] {
        remove(key)
        sizes[key] = bytes
        order.append(key)
        used += bytes
        var evicted: [Key] = []
        while used > limit, let oldest = order.first {
            remove(oldest)
            evicted.append(oldest)
        }
        return evicted
    }

    mutating func remove(_ key: Key) {
        guard let bytes = sizes.removeValue(forKey: key) else { return }
        used -= bytes
        order.removeAll { $0 == key }
    }
}
