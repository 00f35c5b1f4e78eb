import CasemateWire
import NIOCore

/// What arrives from a shim, as it arrives: bodies may be long and are not gathered here.
public enum ShimEvent {
    case head(FrameHeader, meta: ByteBuffer)
    case body(ByteBuffer)
    case end
}

/// Cuts a shim's byte stream into frames. The shim is hostile: every length is checked before a byte of it is kept.
public struct ShimFrameDecoder {
    /// The longest body that is taken at all.
    public var maximumBodyLength: Int
    private var pending = ByteBuffer()
    private var bodyLeft = 0
    private var isInBody = false

    public init(maximumBodyLength: Int) { self.maximumBodyLength = maximumBodyLength }

    /// Takes bytes and calls `handle` for each event in order.
    public mutating func feed(_ bytes: inout ByteBuffer, _ handle: (ShimEvent) throws -> Void) throws {
        if pending.readableBytes == 0 { swap(&pending, &bytes) } else { pending.writeBuffer(&bytes) }
        while true {
            if isInBody {
                if bodyLeft > 0 {
                    guard let part = pending.readSlice(length: min(bodyLeft, pending.readableBytes)), part.readableBytes > 0 else { break }
                    bodyLeft -= part.readableBytes
                    try handle(.body(part))
                }
                guard bodyLeft == 0 else { break }
                isInBody = false
                try handle(.end)
                continue
            }
            guard
                let fields = pending.getMultipleIntegers(
                    at: pending.readerIndex, as: (UInt32, UInt8, UInt8, UInt16, UInt32, UInt32).self)
            else { break }
            let header = try FrameHeader(
                fromShim: (fields.0, fields.1, fields.2, fields.3, fields.4, fields.5), maximumBodyLength: maximumBodyLength)
            guard pending.readableBytes >= FrameHeader.size + header.metaLength else { break }
            pending.moveReaderIndex(forwardBy: FrameHeader.size)
            guard let meta = pending.readSlice(length: header.metaLength) else { break }
            bodyLeft = header.bodyLength
            isInBody = true
            try handle(.head(header, meta: meta))
        }
        if pending.readableBytes == 0 { pending.clear() } else { pending.discardReadBytes() }
    }
}
