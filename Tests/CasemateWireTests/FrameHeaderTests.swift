import Testing

@testable import CasemateWire

@Suite("Headers of frames from a shim")
struct FrameHeaderTests {
    private func header(_ kind: FrameHeader.Kind, meta: Int = 0, body: Int = 0) -> FrameHeader {
        FrameHeader(kind: kind, flags: 3, status: 599, metaLength: meta, bodyLength: body, call: 0xfeed_beef)
    }

    @Test("a header has the bytes that PROTOCOL.md describes")
    func layout() {
        let header = FrameHeader(kind: .reply, flags: 2, status: 0x0304, metaLength: 0x0506, bodyLength: 0x0708_090a, call: 0x0b0c_0d0e)
        #expect(header.encoded == [7, 8, 9, 10, 0x83, 2, 3, 4, 0, 0, 5, 6, 11, 12, 13, 14])
        #expect(header.encoded.count == FrameHeader.size)
    }

    @Test("a shim's header comes back as it was sent", arguments: [FrameHeader.Kind.warm, .specialised, .reply, .built, .scanned])
    func roundTrip(kind: FrameHeader.Kind) throws {
        let sent = header(kind, meta: FrameHeader.maximumMetaLength, body: 1 << 20)
        #expect(try FrameHeader(fromShim: sent.encoded, maximumBodyLength: 1 << 20) == sent)
    }

    @Test(
        "frames that only serve sends are refused from a shim",
        arguments: [FrameHeader.Kind.specialise, .invoke, .build, .check, .scan, .invokeIsolated, .fetch])
    func host(kind: FrameHeader.Kind) {
        #expect(throws: WireError.unknownKind) { try FrameHeader(fromShim: header(kind).encoded, maximumBodyLength: 100) }
    }

    @Test("no other kind is taken")
    func unknown() {
        for kind in UInt8.min...UInt8.max where !(0x81...0x87).contains(kind) && ![0x89, 0x8a].contains(kind) {
            var bytes = header(.warm).encoded
            bytes[4] = kind
            #expect(throws: WireError.unknownKind) { try FrameHeader(fromShim: bytes, maximumBodyLength: 100) }
        }
    }

    @Test("one byte over either limit is too long")
    func limits() throws {
        let most = FrameHeader.maximumMetaLength
        _ = try FrameHeader(fromShim: header(.reply, meta: most, body: 100).encoded, maximumBodyLength: 100)
        #expect(throws: WireError.tooLong) {
            try FrameHeader(fromShim: header(.reply, meta: most + 1).encoded, maximumBodyLength: 100)
        }
        #expect(throws: WireError.tooLong) { try FrameHeader(fromShim: header(.reply, body: 101).encoded, maximumBodyLength: 100) }
        #expect(throws: WireError.tooLong) {
            try FrameHeader(fromShim: header(.reply, body: Int(UInt32.max)).encoded, maximumBodyLength: 100)
        }
    }

    @Test("a header is 16 bytes, no more and no less")
    func size() {
        let bytes = header(.warm).encoded
        for length in 0..<16 {
            #expect(throws: WireError.truncated) { try FrameHeader(fromShim: Array(bytes[..<length]), maximumBodyLength: 100) }
        }
        #expect(throws: WireError.trailingBytes) { try FrameHeader(fromShim: bytes + [0], maximumBodyLength: 100) }
    }
}
