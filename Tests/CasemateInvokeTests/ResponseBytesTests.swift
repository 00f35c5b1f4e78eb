import NIOCore
import NIOHTTP1
import Testing

@testable import CasemateInvoke

struct ResponseBytesTests {
    @Test func aHeadIsAStatusLineItsFieldsAndAnEmptyLine() {
        var out = ByteBuffer()
        ResponseBytes.beginHead(.ok, ["Content-Type": "text/plain", "x-a": ""], version: .http1_1, into: &out)
        ResponseBytes.writeField("content-length", "0", into: &out)
        ResponseBytes.endHead(into: &out)
        #expect(String(buffer: out) == "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nx-a: \r\ncontent-length: 0\r\n\r\n")
    }

    @Test func aStatusWithoutANameKeepsItsSpace() {
        var out = ByteBuffer()
        ResponseBytes.beginHead(HTTPResponseStatus(statusCode: 299), [:], version: .http1_0, into: &out)
        #expect(String(buffer: out) == "HTTP/1.0 299 \r\n")
    }

    @Test func chunksHaveTheirLengthInHexAndAnEmptyOneIsNotTheEnd() {
        var out = ByteBuffer()
        ResponseBytes.writeChunk(ByteBuffer(string: String(repeating: "x", count: 26)), into: &out)
        ResponseBytes.writeChunk(ByteBuffer(), into: &out)
        ResponseBytes.writeLastChunk(into: &out)
        #expect(String(buffer: out) == "1a\r\n" + String(repeating: "x", count: 26) + "\r\n0\r\n\r\n")
    }
}
