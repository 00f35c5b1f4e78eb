import NIOCore
import NIOHTTP1

/// What a function answered, not yet fit for anyone's eyes.
package struct Reply {
    package var status: Int
    package var headers: [(name: String, value: String)]
    package var body: ByteBuffer
}

extension Reply {
    /// Of all that is in it, in bytes.
    var length: Int { headers.reduce(body.readableBytes) { $0 + $1.name.utf8.count + $1.value.utf8.count } }

    /// Whether the body may hold more than its bytes show.
    var isCompressed: Bool {
        CompressedBody.isCompressed(body, contentEncoding: nil) || headers.contains { $0.name.lowercased() == "content-encoding" }
    }
}
