/// How many bytes `first` and `second` have in common from `offset` of each, at most `limit`. Compares 32 at a time, then 8.
///
/// SAFETY: both must hold `limit` bytes from their offset; a debug build traps where they do not.
@inline(__always)
func commonPrefix(
    of first: UnsafeRawBufferPointer,
    at firstOffset: Int,
    and second: UnsafeRawBufferPointer,
    at secondOffset: Int,
    limit: Int
) -> Int {
    @inline(__always)
    func difference(_ length: Int) -> UInt64 {
        first.loadUnaligned(fromByteOffset: firstOffset &+ length, as: UInt64.self)
            ^ second.loadUnaligned(fromByteOffset: secondOffset &+ length, as: UInt64.self)
    }
    var length = 0
    while length &+ 32 <= limit {
        if difference(length) | difference(length &+ 8) | difference(length &+ 16) | difference(length &+ 24) != 0 { break }
        length &+= 32
    }
    while length &+ 8 <= limit {
        let difference = difference(length)
        if difference != 0 { return length &+ difference.littleEndian.trailingZeroBitCount / 8 }
        length &+= 8
    }
    while length < limit && first[firstOffset &+ length] == second[secondOffset &+ length] { length &+= 1 }
    return length
}

/// `[A-Za-z0-9_]`: what a word is made of.
@inline(__always)
func isWordByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "_"):
        true
    default: false
    }
}
