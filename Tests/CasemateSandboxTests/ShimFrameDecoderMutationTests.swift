import CasemateWire
import NIOCore
import Testing

@testable import CasemateSandbox

/// A million frames, good and bad, in pieces of any size: the decoder says what a plain reading of the whole stream says.
@Suite("Frames from a hostile shim")
struct ShimFrameDecoderMutationTests {
    /// What came of a stream: its frames, whole ones, metas and bodies one after the other, and whether it ended in a refusal.
    private struct Outcome: Equatable {
        var frames = 0
        var ends = 0
        var calls = 0
        var content: [UInt8] = []
        var isRefused = false
    }

    private static let limit = 64

    /// The plain reading: one loop over the whole stream.
    private static func reading(_ stream: [UInt8]) -> Outcome {
        var found = Outcome()
        found.content.reserveCapacity(stream.count)
        var at = 0
        func number(_ place: Int) -> Int {
            Int(stream[place]) << 24 | Int(stream[place + 1]) << 16 | Int(stream[place + 2]) << 8 | Int(stream[place + 3])
        }
        while stream.count - at >= FrameHeader.size {
            let (body, kind, meta) = (number(at), stream[at + 4], number(at + 8))
            guard kind >= 0x80, FrameHeader.Kind(rawValue: kind) != nil, body <= limit, meta <= 65_536 else {
                found.isRefused = true
                return found
            }
            guard stream.count - at - FrameHeader.size >= meta else { return found }
            found.frames += 1
            found.calls &+= number(at + 12)
            at += FrameHeader.size
            let end = min(at + meta + body, stream.count)
            found.content += stream[at..<end]
            guard end == at + meta + body else { return found }
            found.ends += 1
            at = end
        }
        return found
    }

    private static func decoding(_ stream: [UInt8], cutBy random: inout Noise) -> Outcome {
        var decoder = ShimFrameDecoder(maximumBodyLength: limit)
        var found = Outcome()
        found.content.reserveCapacity(stream.count)
        var at = 0
        do {
            while at < stream.count {
                let end = min(at + 1 + random.below(800), stream.count)
                var piece = ByteBuffer(bytes: stream[at..<end])
                at = end
                try decoder.feed(&piece) { event in
                    switch event {
                    case .head(let header, let meta):
                        found.frames += 1
                        found.calls &+= Int(header.call)
                        meta.withUnsafeReadableBytes { found.content += $0 }
                    case .body(let bytes): bytes.withUnsafeReadableBytes { found.content += $0 }
                    case .end: found.ends += 1
                    }
                }
            }
        } catch { found.isRefused = true }
        return found
    }

    private static func stream(of frames: Int, using random: inout Noise) -> [UInt8] {
        var stream: [UInt8] = []
        stream.reserveCapacity(frames * 32)
        for _ in 0..<frames {
            let meta = random.below(12)
            let body = random.below(12)
            stream += [
                0, 0, 0, UInt8(body), 0x81 + UInt8(random.below(5)), 0, 0, 200, 0, 0, 0, UInt8(meta), 0, 0, 0, UInt8(random.below(256)),
            ]
            stream += random.bytes(meta + body)
        }
        return stream
    }

    @Test("half a million good frames come out of pieces of any size")
    func good() {
        var random = Noise(seed: 1)
        for _ in 0..<5000 {
            let stream = Self.stream(of: 100, using: &random)
            let found = Self.decoding(stream, cutBy: &random)
            #expect(found.frames == 100 && found.ends == 100 && !found.isRefused && found == Self.reading(stream))
        }
    }

    @Test("half a million damaged frames are refused where a plain reading refuses them")
    func damaged() {
        var random = Noise(seed: 2)
        var refused = 0
        for _ in 0..<10_000 {
            var stream = Self.stream(of: 50, using: &random)
            for _ in 0...random.below(3) {
                let place = random.below(stream.count)
                switch random.below(3) {
                case 0: stream[place] = UInt8(random.below(256))
                case 1: stream.remove(at: place)
                default: stream.insert(UInt8(random.below(256)), at: place)
                }
            }
            let found = Self.decoding(stream, cutBy: &random)
            #expect(found == Self.reading(stream))
            if found.isRefused { refused += 1 }
        }
        #expect(refused > 1000)
    }
}

/// SplitMix64: the same cases on every run. Plain functions, since generic ones cost most of a debug build's time.
private struct Noise {
    private var state: UInt64
    private let pool: [UInt8]

    init(seed: UInt64) {
        state = seed
        pool = (0..<4096).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 7) }
    }

    mutating func below(_ bound: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int(truncatingIfNeeded: (mixed ^ (mixed >> 31)) >> 1) % bound
    }

    mutating func bytes(_ count: Int) -> ArraySlice<UInt8> {
        let start = below(pool.count - count)
        return pool[start..<(start + count)]
    }
}
