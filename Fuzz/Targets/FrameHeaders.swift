/// A stream of frames: each header is within its limits and encodes to the bytes it was read from; the walk never leaves the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzFrameHeaders(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var rest = bytes(data, count)[...]
    let limit = 4096
    while rest.count >= FrameHeader.size {
        let head = Array(rest.prefix(FrameHeader.size))
        guard let header = try? FrameHeader(fromShim: head, maximumBodyLength: limit) else { return 0 }
        precondition(header.encoded == head)
        precondition(header.kind.rawValue & 0x80 != 0)
        precondition((0...FrameHeader.maximumMetaLength).contains(header.metaLength) && (0...limit).contains(header.bodyLength))
        rest = rest.dropFirst(FrameHeader.size + header.metaLength + header.bodyLength)
    }
    return 0
}
