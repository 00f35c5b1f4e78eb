import Glibc

/// A buffer for a PIN or a key that is overwritten before its memory is given back.
///
/// It lies outside Swift's arrays, since those are copied and freed without a chance to overwrite them.
struct ScrubbedBytes: ~Copyable {
    private let base: UnsafeMutablePointer<UInt8>
    let capacity: Int
    /// How many of the bytes are in use.
    private(set) var count = 0

    init(capacity: Int) {
        // Never of no size: PKCS#11 takes a null pointer as the question how much room is needed.
        self.capacity = max(capacity, 1)
        base = .allocate(capacity: self.capacity)
        base.initialize(repeating: 0, count: self.capacity)
    }

    deinit {
        explicit_bzero(base, capacity)
        base.deallocate()
    }

    /// The bytes in use, for as long as `body` runs.
    func withBytes<R, E: Error>(_ body: (UnsafeMutableBufferPointer<UInt8>) throws(E) -> R) throws(E) -> R {
        try body(UnsafeMutableBufferPointer(start: base, count: count))
    }

    /// The whole room; `body` answers how many of its bytes are in use from now on.
    mutating func fill<E: Error>(_ body: (UnsafeMutableBufferPointer<UInt8>) throws(E) -> Int) throws(E) {
        count = min(try body(UnsafeMutableBufferPointer(start: base, count: capacity)), capacity)
    }

    mutating func truncate(to count: Int) { self.count = min(self.count, count) }
}
