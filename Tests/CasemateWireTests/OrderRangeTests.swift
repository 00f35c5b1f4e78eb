import Testing

@testable import CasemateWire

@Suite("Ranges of what an order may ask")
struct OrderRangeTests {
    private static func changed(_ base: SandboxLimits, _ change: (inout SandboxLimits) -> Void) -> SandboxLimits {
        var limits = base
        change(&limits)
        return limits
    }

    static let outside: [SandboxLimits] = [
        changed(WireSamples.least) { $0.memoryInBytes -= 1 },
        changed(WireSamples.most) { $0.memoryInBytes += 1 },
        changed(WireSamples.least) { $0.memoryInBytes = 0 },
        changed(WireSamples.least) { $0.memoryInBytes = .max },
        changed(WireSamples.least) { $0.cpuInMillicores -= 1 },
        changed(WireSamples.most) { $0.cpuInMillicores += 1 },
        changed(WireSamples.least) { $0.pids -= 1 },
        changed(WireSamples.most) { $0.pids += 1 },
        changed(WireSamples.least) { $0.tmpInBytes -= 1 },
        changed(WireSamples.most) { $0.tmpInBytes += 1 },
    ]

    @Test("limits at the ends of their ranges are taken")
    func ends() {
        #expect(WireSamples.least.isAcceptable)
        #expect(WireSamples.most.isAcceptable)
    }

    @Test("limits beyond their ranges are refused on arrival", arguments: outside)
    func limits(limits: SandboxLimits) {
        #expect(!limits.isAcceptable)
        for order in [
            Order.create(profile: "p", purpose: .run, limits: limits),
            .specialise(sandbox: 1, bundle: WireSamples.digest, limits: limits),
        ] {
            #expect(throws: WireError.outOfRange) {
                try WardenMessage<Order>(decoding: WardenMessage(request: 1, payload: order).encoded())
            }
        }
    }

    @Test("a profile's name over 32 bytes is refused")
    func profile() {
        let order = Order.create(profile: String(repeating: "p", count: 33), purpose: .run, limits: WireSamples.least)
        #expect(throws: WireError.outOfRange) { try WardenMessage<Order>(decoding: WardenMessage(request: 1, payload: order).encoded()) }
    }

    @Test("a purpose, a refusal and a reason outside their tables are refused", arguments: [UInt8(0), 6, 255])
    func tables(value: UInt8) {
        var order = WardenMessage<Order>(request: 1, payload: .create(profile: "p", purpose: .run, limits: WireSamples.least)).encoded()
        order[8] = value
        #expect(throws: WireError.outOfRange) { try WardenMessage<Order>(decoding: order) }
        let isReason = EndReason(rawValue: value) != nil
        let isRefusal = RefusalCode(rawValue: value) != nil
        #expect(((try? WardenMessage<Reply>(decoding: [1, 6, 0, 0, 0, 0, 0, 0, 0, 1, value, 0, 0, 0, 0])) != nil) == isReason)
        #expect(((try? WardenMessage<Reply>(decoding: [1, 5, 0, 0, 0, 1, value, 0])) != nil) == isRefusal)
    }

    @Test("port 0, addresses outside their network and more than 64 listeners are refused")
    func listeners() {
        for wrong in [InnerListener(index: 1, port: 0), InnerListener(index: 0, port: 443), InnerListener(index: .max, port: 443)] {
            let order = WardenMessage(request: 1, payload: Order.listen(sandbox: 1, [InnerListener(index: 1, port: 443), wrong]))
            #expect(throws: WireError.outOfRange) { try WardenMessage<Order>(decoding: order.encoded()) }
        }
        let head: [UInt8] = [1, 7, 0, 0, 0, 1, 0, 0, 0, 1]
        let count = UInt8(maximumListenersPerOrder + 1)
        #expect(throws: WireError.outOfRange) {
            try WardenMessage<Order>(decoding: head + [count] + (0..<count).flatMap { [0, 1, 1, $0] })
        }
    }

    @Test(
        "a range that is too large, has bits beyond its prefix, or holds addresses of the sandbox's own is refused",
        arguments: [
            (0x0a00_0000, 7, 443), (0x0a00_0001, 8, 443), (0x0a00_0000, 33, 443), (0x0a00_0000, 8, 0), (0, 8, 443), (0x7f00_0001, 32, 443),
            (0xe000_0001, 32, 443), (0xffff_ffff, 32, 443),
        ] as [(UInt32, UInt8, UInt16)])
    func ranges(address: UInt32, bits: UInt8, port: UInt16) throws {
        #expect(InnerRange(address: address, bits: bits, port: port) == nil)
        // The same in bytes, which a server that was taken over would send.
        var bytes = WardenMessage(
            request: 1, payload: Order.openRange(sandbox: 1, try #require(InnerRange(address: 0x0a00_0000, bits: 8, port: 443)))
        ).encoded()
        var tail = ByteWriter()
        tail.integer(address)
        tail.integer(bits)
        tail.integer(port)
        bytes.replaceSubrange((bytes.count - 7)..., with: tail.bytes)
        #expect(throws: WireError.outOfRange) { try WardenMessage<Order>(decoding: bytes) }
    }
}
