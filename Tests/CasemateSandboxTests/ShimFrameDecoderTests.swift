import CasemateWire
import NIOCore
import Testing

@testable import CasemateSandbox

@Suite("Frames from a shim")
struct ShimFrameDecoderTests {
    private enum Event: Equatable {
        case head(FrameHeader, String)
        case body(String)
        case end
    }

    private func frame(_ kind: FrameHeader.Kind, meta: String = "", body: String = "", call: UInt32 = 7) -> [UInt8] {
        FrameHeader(kind: kind, flags: 1, status: 200, metaLength: meta.utf8.count, bodyLength: body.utf8.count, call: call).encoded
            + Array(meta.utf8)
            + Array(body.utf8)
    }

    /// The events of a stream that comes in these pieces; parts of one body are joined.
    private func events(_ pieces: [[UInt8]], limit: Int = 1000) throws -> [Event] {
        var decoder = ShimFrameDecoder(maximumBodyLength: limit)
        var found: [Event] = []
        for piece in pieces {
            var buffer = ByteBuffer(bytes: piece)
            try decoder.feed(&buffer) { event in
                switch event {
                case .head(let header, let meta): found.append(.head(header, String(buffer: meta)))
                case .body(let bytes):
                    #expect(bytes.readableBytes > 0)
                    if case .body(let before)? = found.last {
                        found[found.count - 1] = .body(before + String(buffer: bytes))
                    } else {
                        found.append(.body(String(buffer: bytes)))
                    }
                case .end: found.append(.end)
                }
            }
        }
        return found
    }

    private var stream: [UInt8] {
        frame(.warm, call: 0) + frame(.reply, meta: "a\0b\0", body: "hello") + frame(.reply, meta: "", body: "x", call: 8)
            + frame(.scanned, meta: "m", body: "")
    }

    private var wanted: [Event] {
        func header(_ kind: FrameHeader.Kind, _ meta: Int, _ body: Int, _ call: UInt32) -> FrameHeader {
            FrameHeader(kind: kind, flags: 1, status: 200, metaLength: meta, bodyLength: body, call: call)
        }
        return [
            .head(header(.warm, 0, 0, 0), ""), .end, .head(header(.reply, 4, 5, 7), "a\0b\0"), .body("hello"), .end,
            .head(header(.reply, 0, 1, 8), ""), .body("x"), .end, .head(header(.scanned, 1, 0, 7), "m"), .end,
        ]
    }

    @Test("several frames in one piece come out one after the other")
    func together() throws { #expect(try events([stream]) == wanted) }

    @Test("a stream cut at any byte gives the same events")
    func cut() throws {
        for place in 0...stream.count {
            #expect(try events([Array(stream[..<place]), Array(stream[place...])]) == wanted, "cut at \(place)")
        }
    }

    @Test("a stream that comes byte by byte gives the same events")
    func bytewise() throws { #expect(try events(stream.map { [$0] }) == wanted) }

    @Test("the beginning of a body comes before its end does")
    func early() throws {
        let bytes = frame(.reply, meta: "m", body: "hello")
        let found = try events([Array(bytes.dropLast(3))])
        #expect(found.count == 2 && found.last == .body("he"))
    }

    @Test("a head waits for all of its meta")
    func meta() throws {
        let bytes = frame(.reply, meta: "meta", body: "")
        #expect(try events([Array(bytes.dropLast(1))]).isEmpty)
    }

    @Test("a body over the limit is refused with its header, before a byte of it has come")
    func longBody() throws {
        let header = FrameHeader(kind: .reply, bodyLength: 1001).encoded
        #expect(throws: WireError.tooLong) { try events([header]) }
        #expect(try events([FrameHeader(kind: .reply, bodyLength: 1000).encoded]).count == 1)
        #expect(throws: WireError.tooLong) { try events([FrameHeader(kind: .reply, bodyLength: Int(UInt32.max)).encoded]) }
    }

    @Test("a meta over 65,536 bytes is refused with its header")
    func longMeta() throws {
        #expect(throws: WireError.tooLong) { try events([FrameHeader(kind: .reply, metaLength: 65_537).encoded]) }
        let meta = String(repeating: "m", count: 65_536)
        #expect(try events([frame(.reply, meta: meta)]).count == 2)
    }

    @Test("an unknown kind and serve's own kinds are refused")
    func kinds() {
        for kind in UInt8.min...UInt8.max where !(0x81...0x87).contains(kind) && ![0x89, 0x8a].contains(kind) {
            var bytes = frame(.warm)
            bytes[4] = kind
            #expect(throws: WireError.unknownKind) { try events([bytes]) }
        }
    }

    @Test("a bad frame after a good one is refused after the good one was heard")
    func badSecond() {
        var decoder = ShimFrameDecoder(maximumBodyLength: 10)
        var buffer = ByteBuffer(bytes: frame(.warm) + [UInt8](repeating: 0, count: 16))
        var heard = 0
        #expect(throws: WireError.unknownKind) { try decoder.feed(&buffer) { _ in heard += 1 } }
        #expect(heard == 2)
    }

    @Test("a limit that is lowered holds from the next frame on")
    func lowered() throws {
        var decoder = ShimFrameDecoder(maximumBodyLength: 100)
        var first = ByteBuffer(bytes: frame(.reply, body: String(repeating: "x", count: 50)))
        try decoder.feed(&first) { _ in }
        decoder.maximumBodyLength = 10
        var second = ByteBuffer(bytes: frame(.reply, body: String(repeating: "x", count: 50)))
        #expect(throws: WireError.tooLong) { try decoder.feed(&second) { _ in } }
    }

    @Test("what the handler throws comes out")
    func handler() {
        struct Stop: Error {}
        var decoder = ShimFrameDecoder(maximumBodyLength: 10)
        var buffer = ByteBuffer(bytes: frame(.warm))
        #expect(throws: Stop.self) { try decoder.feed(&buffer) { _ in throw Stop() } }
    }

    @Test("random bytes are frames or refused, and no trap")
    func random() {
        for _ in 0..<2000 {
            var bytes = stream
            for _ in 0..<Int.random(in: 1...6) { bytes[Int.random(in: 0..<bytes.count)] = UInt8.random(in: 0...255) }
            _ = try? events([bytes])
        }
    }
}
