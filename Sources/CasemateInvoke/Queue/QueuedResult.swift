import CasemateStore
import NIOCore
import NIOHTTP1

/// An answer as it is kept for whoever asks for it later: redacted before it came here.
package struct QueuedResult {
    package var status: Int
    package var headers: HTTPHeaders
    package var body: ByteBuffer

    /// Of the body, in bytes; of a longer one nothing is kept.
    package static let most = 4 << 20
    private static let version: UInt8 = 1

    package init(status: Int, headers: HTTPHeaders, body: ByteBuffer) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// What it is sealed for: whoever writes another owner into the row shows that one nothing.
    static func place(of call: QueuedCall) -> String { "\(call.id)\0\(call.owner)" }

    package var bytes: [UInt8] { Array(body.readableBytesView) }

    package var encoded: [UInt8] {
        var out = ByteBuffer()
        out.writeInteger(Self.version)
        out.writeInteger(UInt16(status))
        out.writeFields(headers)
        out.writePart(body.readableBytesView)
        return Array(out.readableBytesView)
    }

    /// Nil for what this server did not write.
    package init?(encoded bytes: [UInt8]) {
        var rest = ByteBuffer(bytes: bytes)
        guard rest.readInteger(as: UInt8.self) == Self.version, let status = rest.readInteger(as: UInt16.self),
            let headers = rest.readFields(), let body = rest.readPart(), rest.readableBytes == 0
        else { return nil }
        self.init(status: Int(status), headers: headers, body: body)
    }
}
