import Glibc

/// Random numbers of the kernel's, fetched by the page: a call needs sixteen bytes, and a system call for each eight of them is slow.
/// Lives on the gateway's event loop. What it has given out it does not keep.
struct RandomReserve: RandomNumberGenerator {
    private var words = [UInt64](repeating: 0, count: 256)
    private var position = 256

    mutating func next() -> UInt64 {
        if position == words.count {
            words.withUnsafeMutableBytes { if let start = $0.baseAddress { arc4random_buf(start, $0.count) } }
            position = 0
        }
        defer {
            words[position] = 0
            position += 1
        }
        return words[position]
    }
}
