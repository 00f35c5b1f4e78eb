/// Walks a text and gives, for each place where needles stand, the longest. Places come in ascending order.
///
/// SAFETY: holds the text's pointer; to be used within the call that was given the text.
struct NeedleCursor {
    private let layer: NeedleLayer
    private let text: UnsafeRawBufferPointer
    /// Needles that begin here or later are not looked for.
    private let limit: Int
    /// The block looked at last.
    private var position: Int
    /// How far before `position` a needle may begin that was not looked for yet: bit n for n bytes.
    private var offsets: UInt16 = 0

    init(_ layer: NeedleLayer, in text: UnsafeRawBufferPointer, before limit: Int) {
        self.layer = layer
        self.text = text
        self.limit = limit
        // The first block lies `stride - 1` bytes in; `next` begins with a step of `stride`.
        position = -1
    }

    mutating func next() -> Match? {
        while true {
            while offsets != 0 {
                let offset = UInt16.bitWidth - 1 - offsets.leadingZeroBitCount
                offsets ^= 1 << UInt16(offset)
                guard position - offset < limit else { return nil }
                if let match = layer.needles.match(in: text, at: position - offset) { return match }
            }
            guard let found = layer.needles.filter.next(in: text, from: position + layer.needles.filter.stride) else {
                position = text.count
                return nil
            }
            (position, offsets) = found
        }
    }
}
