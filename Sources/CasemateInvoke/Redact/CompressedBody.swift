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
        inflate(body, windowBits: Inflater.byHeader) ?? inflate(body, windowBits: Inflater.raw)
    }

    private static func inflate(_ body: ByteBuffer, windowBits: Int32) -> [UInt8]? {
        guard let inflater = Inflater(windowBits: windowBits) else { return nil }
        var output: [UInt8] = []
        let isWhole = inflater.push(body) { part in
            output.append(contentsOf: part)
            return output.count <= largest
        }
        return isWhole ? output : nil
    }
}
