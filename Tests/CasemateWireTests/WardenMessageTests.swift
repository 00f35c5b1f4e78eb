import Testing

@testable import CasemateWire

@Suite("Messages between serve and warden")
struct WardenMessageTests {
    @Test("every order comes back as it was sent", arguments: WireSamples.orders)
    func order(order: Order) throws {
        for request: UInt32 in [0, 1, .max] {
            let decoded = try WardenMessage<Order>(decoding: WardenMessage(request: request, payload: order).encoded())
            #expect(decoded.payload == order)
            #expect(decoded.request == request)
        }
    }

    @Test("every reply comes back as it was sent", arguments: WireSamples.replies)
    func reply(reply: Reply) throws {
        for request: UInt32 in [0, 1, .max] {
            let decoded = try WardenMessage<Reply>(decoding: WardenMessage(request: request, payload: reply).encoded())
            #expect(decoded.payload == reply)
            #expect(decoded.request == request)
        }
    }

    @Test("the bytes are those that PROTOCOL.md describes")
    func layout() {
        #expect(
            WardenMessage<Order>(request: 0x0102_0304, payload: .destroy(sandbox: 0x0a0b_0c0d)).encoded() == [
                1, 3, 1, 2, 3, 4, 10, 11, 12, 13,
            ])
        #expect(WardenMessage<Order>(request: 1, payload: .hello).encoded() == [1, 6, 0, 0, 0, 1])
        #expect(
            WardenMessage<Order>(request: 1, payload: .listen(sandbox: 2, [InnerListener(index: 3, port: 443)])).encoded() == [
                1, 7, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 3, 1, 187,
            ])
        #expect(
            WardenMessage<Reply>(request: 1, payload: .refused(.limits, detail: "no")).encoded() == [
                1, 5, 0, 0, 0, 1, 7, 2, 110, 111,
            ])
        #expect(
            WardenMessage<Reply>(request: 0, payload: .ended(sandbox: 1, reason: .outOfMemory, status: -1)).encoded() == [
                1, 6, 0, 0, 0, 0, 0, 0, 0, 1, 3, 255, 255, 255, 255,
            ])
        #expect(
            WardenMessage<Reply>(request: 0, payload: .attempted(sandbox: 1, call: 0x0102)).encoded() == [
                1, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2,
            ])
    }

    @Test("a message cut at any length is truncated")
    func truncated() {
        for packet in WireSamples.packets {
            for length in 0..<packet.bytes.count {
                #expect(throws: WireError.truncated) {
                    try WireSamples.reencoded(Array(packet.bytes[..<length]), isOrder: packet.isOrder)
                }
            }
        }
    }

    @Test("a byte after a message is refused")
    func trailing() {
        for packet in WireSamples.packets {
            #expect(throws: WireError.trailingBytes) {
                try WireSamples.reencoded(packet.bytes + [0], isOrder: packet.isOrder)
            }
        }
    }

    @Test("another version is refused", arguments: [UInt8(0), 2, 255])
    func version(version: UInt8) {
        for packet in WireSamples.packets {
            #expect(throws: WireError.unknownKind) {
                try WireSamples.reencoded([version] + packet.bytes.dropFirst(), isOrder: packet.isOrder)
            }
        }
    }

    @Test("a kind that the protocol does not have is refused")
    func kinds() {
        for kind in UInt8.min...UInt8.max {
            let bytes = [1, kind, 0, 0, 0, 1] + [UInt8](repeating: 0, count: 64)
            if !(1...13).contains(kind) {
                #expect(throws: WireError.unknownKind) { try WardenMessage<Order>(decoding: bytes) }
            }
            if !(1...10).contains(kind) {
                #expect(throws: WireError.unknownKind) { try WardenMessage<Reply>(decoding: bytes) }
            }
        }
    }

    @Test("a packet over 1,024 bytes is refused before it is read")
    func tooLong() {
        let bytes = WardenMessage<Order>(request: 1, payload: .hello).encoded()
        #expect(throws: WireError.tooLong) {
            try WardenMessage<Order>(decoding: bytes + [UInt8](repeating: 0, count: wardenMessageLimit))
        }
        #expect(throws: WireError.trailingBytes) {
            try WardenMessage<Order>(decoding: bytes + [UInt8](repeating: 0, count: wardenMessageLimit - bytes.count))
        }
    }

    @Test("every message fits a packet")
    func fits() {
        for packet in WireSamples.packets { #expect(packet.bytes.count <= wardenMessageLimit) }
    }

    @Test("2,000 damaged messages are refused, or say exactly what they say when encoded again")
    func mutations() {
        var random = WireRandom(seed: 20_261_121)
        for _ in 0..<2000 {
            let packet = WireSamples.packets.randomElement(using: &random)!
            var bytes = packet.bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                switch Int.random(in: 0..<4, using: &random) {
                case 0 where !bytes.isEmpty:
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                case 1 where !bytes.isEmpty: bytes.remove(at: Int.random(in: 0..<bytes.count, using: &random))
                case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: Int.random(in: 0...bytes.count, using: &random))
                default: bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
                }
            }
            if let again = try? WireSamples.reencoded(bytes, isOrder: packet.isOrder) { #expect(again == bytes) }
        }
    }

    @Test("text that is not UTF-8 is refused")
    func notText() {
        #expect(throws: WireError.notText) { try WardenMessage<Reply>(decoding: [1, 4, 0, 0, 0, 1, 1, 0xff, 2]) }
    }
}
