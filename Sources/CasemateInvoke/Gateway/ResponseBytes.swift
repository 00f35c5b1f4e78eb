import NIOCore
import NIOHTTP1

/// A response as it goes over the wire (RFC 9112 §4 to §7), written straight into the buffer that is sent.
///
/// Names and values of fields come from `Redact` or are the gateway's own: there is nothing left to check here.
enum ResponseBytes {
    /// The status line and these fields; others may follow, and then `endHead`.
    static func beginHead(_ status: HTTPResponseStatus, _ headers: HTTPHeaders, version: HTTPVersion, into out: inout ByteBuffer) {
        out.writeStaticString(version == .http1_1 ? "HTTP/1.1 " : "HTTP/1.0 ")
        out.writeString(String(status.code))
        out.writeStaticString(" ")
        out.writeString(status.reasonPhrase)
        out.writeStaticString("\r\n")
        for (name, value) in headers { writeField(name, value, into: &out) }
    }

    static func writeField(_ name: String, _ value: String, into out: inout ByteBuffer) {
        out.writeString(name)
        out.writeStaticString(": ")
        out.writeString(value)
        out.writeStaticString("\r\n")
    }

    static func endHead(into out: inout ByteBuffer) { out.writeStaticString("\r\n") }

    /// One chunk of a body whose length is not told (§7.1); an empty one would be its end.
    static func writeChunk(_ bytes: ByteBuffer, into out: inout ByteBuffer) {
        guard bytes.readableBytes > 0 else { return }
        out.writeString(String(bytes.readableBytes, radix: 16))
        out.writeStaticString("\r\n")
        out.writeImmutableBuffer(bytes)
        out.writeStaticString("\r\n")
    }

    static func writeLastChunk(into out: inout ByteBuffer) { out.writeStaticString("0\r\n\r\n") }
}
