import CZlib
import NIOCore

/// Inflates a body part by part (RFC 1950 to 1952).
final class Inflater {
    /// Gzip or zlib, by its header.
    static let byHeader: Int32 = 15 + 32
    /// Raw deflate, which some call "deflate".
    static let raw: Int32 = -15

    private var stream = z_stream()
    private var chunk = [UInt8](repeating: 0, count: 65_536)
    /// The stream ended, and no further member follows so far.
    private(set) var isComplete = false

    init?(windowBits: Int32) {
        guard inflateInit2_(&stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else { return nil }
    }

    deinit { inflateEnd(&stream) }

    /// Hands on what comes of the next part.
    /// - Parameter take: answers whether to go on.
    /// - Returns: false for what is no such stream, and where `take` said so.
    func push(_ part: ByteBuffer, _ take: (ArraySlice<UInt8>) -> Bool) -> Bool {
        var input = part.getBytes(at: part.readerIndex, length: part.readableBytes) ?? []
        guard !input.isEmpty else { return true }
        // SAFETY: zlib reads avail_in bytes of `input` and writes avail_out bytes of `chunk`, both pinned for the loop.
        return input.withUnsafeMutableBufferPointer { source in
            stream.next_in = source.baseAddress
            stream.avail_in = UInt32(source.count)
            defer { stream.next_in = nil }
            while true {
                // A second gzip member may follow.
                if isComplete {
                    guard stream.avail_in > 0 else { return true }
                    guard inflateReset(&stream) == Z_OK else { return false }
                    isComplete = false
                }
                let result = chunk.withUnsafeMutableBufferPointer { target -> Int32 in
                    stream.next_out = target.baseAddress
                    stream.avail_out = UInt32(target.count)
                    return CZlib.inflate(&stream, Z_NO_FLUSH)
                }
                let made = chunk.count - Int(stream.avail_out)
                // No progress for want of input is no fault.
                guard result == Z_OK || result == Z_STREAM_END || (result == Z_BUF_ERROR && stream.avail_in == 0) else { return false }
                if made > 0, !take(chunk[..<made]) { return false }
                isComplete = result == Z_STREAM_END
                if !isComplete, stream.avail_in == 0, stream.avail_out > 0 { return true }
            }
        }
    }
}
