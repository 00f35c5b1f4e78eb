/// Which blocks of four bytes occur near the beginning of a needle, and how far from it.
///
/// A text is looked at only every `stride` bytes. A needle of `stride + 3` bytes or more that stands anywhere has one of the
/// blocks looked at within its first `stride + 3` bytes, so the blocks at its first `stride` offsets are registered here.
/// Unlike the shift table of Wu and Manber ("A fast algorithm for multi-pattern searching", 1994), which this goes back to, the next
/// place to look at does not depend on what was found at this one, and the processor works on several at once.
struct BlockFilter: Sendable {
    static let blockLength = 4
    /// Longer strides save little and cost an entry per needle each.
    static let longestStride = 13

    let stride: Int
    /// One bit per hash: whether a block with this hash is registered.
    private var bits: [UInt64]
    private let bitShift: UInt32
    /// For fewer hash bits, at which offsets such a block was registered: bit n for offset n.
    private var offsets: [UInt16]
    private let offsetShift: UInt32

    /// - Parameters:
    ///   - shortest: Length of the shortest needle; 8 or more.
    ///   - count: How many needles will be registered.
    init(shortest: Int, count: Int) {
        stride = min(shortest - Self.blockLength + 1, Self.longestStride)
        // 32 bits for each block: one look in 32 at most goes further for nothing.
        let wanted = UInt64(max(count * stride * 32, 1 << 12))
        let bitCountLog = UInt32(min(64 - (wanted - 1).leadingZeroBitCount, 23))
        bits = Array(repeating: 0, count: 1 << Int(bitCountLog - 6))
        bitShift = 32 - bitCountLog
        offsets = Array(repeating: 0, count: 1 << Int(bitCountLog - 3))
        offsetShift = bitShift + 3
    }

    mutating func register(_ needle: UnsafeRawBufferPointer) {
        for offset in 0..<stride {
            let hash = Self.hash(needle.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            let bit = hash >> bitShift
            bits[Int(bit / 64)] |= 1 << UInt64(bit % 64)
            offsets[Int(hash >> offsetShift)] |= 1 << UInt16(offset)
        }
    }

    /// The first position from `position` on, in steps of `stride`, where a registered block may stand in `text`, and the offsets at
    /// which it was registered. Nil when the text has no more.
    @inline(__always)
    func next(in text: UnsafeRawBufferPointer, from position: Int) -> (position: Int, offsets: UInt16)? {
        let end = text.count - Self.blockLength
        var position = position
        while true {
            let found = bits.withUnsafeBufferPointer { bits in
                // SAFETY: a block is read from `position` to at most `end + 4`, the end of the text. A hash shifted by `bitShift` has
                // as many bits as `bits` has bits.
                while position <= end {
                    let hash = Self.hash(text.loadUnaligned(fromByteOffset: position, as: UInt32.self))
                    let bit = hash &>> bitShift
                    if bits[Int(truncatingIfNeeded: bit &>> 6)] &>> UInt64(truncatingIfNeeded: bit) & 1 != 0 { return true }
                    position &+= stride
                }
                return false
            }
            guard found else { return nil }
            let hash = Self.hash(text.loadUnaligned(fromByteOffset: position, as: UInt32.self))
            let offsets = offsets[Int(hash >> offsetShift)]
            if offsets != 0 { return (position, offsets) }
            position += stride
        }
    }

    /// Whether a needle may begin in `text` at `start`, which has a whole block there.
    @inline(__always)
    func mayBegin(in text: UnsafeRawBufferPointer, at start: Int) -> Bool {
        let hash = Self.hash(text.loadUnaligned(fromByteOffset: start, as: UInt32.self))
        return offsets[Int(hash >> offsetShift)] & 1 != 0
    }

    @inline(__always)
    private static func hash(_ block: UInt32) -> UInt32 { block &* 0x9E37_79B1 }
}

extension BlockFilter: CustomReflectable {
    var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}
