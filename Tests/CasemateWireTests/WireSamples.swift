@testable import CasemateWire

/// One of each order and reply, with values at both ends of their ranges.
enum WireSamples {
    static let digest = BundleDigest((0..<32).map { UInt8($0 * 7 & 0xff) })!
    static let least = SandboxLimits(memoryInBytes: 16 << 20, cpuInMillicores: 10, pids: 2, tmpInBytes: 1 << 20)
    static let most = SandboxLimits(memoryInBytes: 64 << 30, cpuInMillicores: 64_000, pids: 4096, tmpInBytes: 8 << 30)

    static let orders: [Order] = [
        .create(profile: "python3.11", purpose: .run, limits: least),
        .create(profile: String(repeating: "p", count: 32), purpose: .build, limits: most),
        .create(profile: "", purpose: .run, limits: least),
        .specialise(sandbox: 7, bundle: digest, limits: most),
        .destroy(sandbox: 0),
        .destroy(sandbox: .max),
        .collect(sandbox: 9, maximumBytes: .max, maximumFiles: .max),
        .removeBundle(digest),
        .listBundles(after: nil),
        .listBundles(after: digest),
        .hello,
        .freeze(sandbox: 4),
        .thaw(sandbox: .max),
        .count(sandbox: 0),
        .openResolver(sandbox: 3),
        .openRange(sandbox: 3, InnerRange(address: 0x0a00_0000, bits: 8, port: 443)!),
        .openRange(sandbox: .max, InnerRange(address: 0xdfff_ffff, bits: 32, port: .max)!),
        .listen(sandbox: 3, []),
        .listen(sandbox: 3, [InnerListener(index: 1, port: 443), InnerListener(index: 65_534, port: .max)]),
        .listen(sandbox: 3, (1...UInt16(maximumListenersPerOrder)).map { InnerListener(index: $0, port: $0) }),
    ]

    static let replies: [Reply] = [
        .created(sandbox: 1, hostUID: .max),
        .done,
        .collected(bundle: digest, files: .max, bytes: .max),
        .hello(instance: "blue", cgroupVersion: 2),
        .hello(instance: "", cgroupVersion: 1),
        .refused(.malformed, detail: "a line of text: größer"),
        .refused(.outputRefused, detail: String(repeating: "x", count: 255)),
        .frozen(memory: .max),
        .bundles([]),
        .bundles([BundleDigest](repeating: digest, count: maximumBundlesPerReply)),
        .counted(SandboxCounts(outOfMemory: 1, pids: .max, throttledInMilliseconds: 60_000)),
        .ended(sandbox: 2, reason: .exited, status: 0),
        .ended(sandbox: 2, reason: .killed, status: .min),
        .ended(sandbox: 2, reason: .outOfMemory, status: .max),
        .ended(sandbox: 2, reason: .ordered, status: -1),
        .attempted(sandbox: 3, call: 165),
        .attempted(sandbox: .max, call: HostileCall.more),
    ]

    /// Every message, encoded.
    static let packets: [(isOrder: Bool, bytes: [UInt8])] =
        orders.map { (true, WardenMessage(request: 5, payload: $0).encoded()) }
        + replies.map { (false, WardenMessage(request: 5, payload: $0).encoded()) }

    /// Decodes `bytes` as the one or the other, and encodes what came of it.
    static func reencoded(_ bytes: [UInt8], isOrder: Bool) throws(WireError) -> [UInt8] {
        isOrder
            ? try WardenMessage<Order>(decoding: bytes).encoded()
            : try WardenMessage<Reply>(decoding: bytes).encoded()
    }
}

/// SplitMix64: the same cases on every run.
struct WireRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
