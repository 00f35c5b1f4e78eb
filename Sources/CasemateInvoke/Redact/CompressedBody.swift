import CZlib
import CasemateModel
import NIOCore

/// Looks into compressed bodies: a secret inside one can't be replaced, but must be found.
enum CompressedBody {
    private static let largest = 32 << 20

    static func isCompressed(_ body: ByteBuffer, contentEncoding: String?) -> Bool {
        let encoding = contentEncoding?.lowercased() ?? "identity"
        return encoding != "identity" && encoding != "" || isGzip(body)
    }

    static func isInflatable(contentEncoding: String?) -> Bool {
        ["gzip", "x-gzip", "deflate", "identity", ""].contains(contentEncoding?.lowercased() ?? "")
    }

    private static func isGzip(_ body: ByteBuffer) -> Bool { body.getBytes(at: body.readerIndex, length: 2) == [0x1f, 0x8b] }

    /// The inflated bytes of a gzip or deflate body; nil when it is not compressed.
    /// - Throws: `.secretInResponse` for an encoding that can't be looked into, or one that is too large inflated.
    static func inflated(_ body: ByteBuffer, contentEncoding: String?, mustBeSeen: Bool) throws(Problem) -> [UInt8]? {
        guard isCompressed(body, contentEncoding: contentEncoding) else { return nil }
        let encoding = contentEncoding?.lowercased() ?? "gzip"
        guard isInflatable(contentEncoding: encoding), let plain = inflate(body) else {
            if !mustBeSeen { return nil }
            throw Problem(.secretInResponse, "the function has secrets, and its response is encoded in a way that can't be looked into")
        }
        return plain
    }

    private static func inflate(_ body: ByteBuffer) -> [UInt8]? {
        // 15 + 32: gzip or zlib by its header; -15: raw deflate, which some call "deflate".
        inflate(body, windowBits: 47) ?? inflate(body, windowBits: -15)
    }

    private static func inflate(_ body: ByteBuffer, windowBits: Int32) -> [UInt8]? {
        var stream = z_stream()
        guard inflateInit2_(&stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else { return nil }
        defer { inflateEnd(&stream) }
        var input = body.getBytes(at: body.readerIndex, length: body.readableBytes) ?? []
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        // SAFETY: zlib reads avail_in bytes of `input` and writes avail_out bytes of `chunk`, both pinned for the loop.
        return input.withUnsafeMutableBufferPointer { source -> [UInt8]? in
            stream.next_in = source.baseAddress
            stream.avail_in = UInt32(source.count)
            while true {
                let result = chunk.withUnsafeMutableBufferPointer { target -> Int32 in
                    stream.next_out = target.baseAddress
                    stream.avail_out = UInt32(target.count)
                    return CZlib.inflate(&stream, Z_NO_FLUSH)
                }
                guard result == Z_OK || result == Z_STREAM_END else { return nil }
                output.append(contentsOf: chunk[..<(chunk.count - Int(stream.avail_out))])
                guard output.count <= largest else { return nil }
                if result == Z_STREAM_END {
                    // A second gzip member may follow.
                    guard stream.avail_in > 0 else { return output }
                    guard inflateReset(&stream) == Z_OK else { return nil }
                } else if stream.avail_in == 0, stream.avail_out > 0 {
                    return output
                }
            }
        }
    }
}
