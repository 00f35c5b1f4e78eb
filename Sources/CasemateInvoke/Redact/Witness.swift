import CasemateVault
import NIOCore

/// Sees what a function is let answer with, and changes nothing: whether one of its secrets is in it, also compressed.
struct Witness {
    private var plain: RedactorStream
    private var inflated: RedactorStream
    private var inflater: Inflater?
    private(set) var hasSeen: Bool
    /// What is inflated further is not worth the time that it takes from others' calls: it counts as seen.
    private var left = 8 << 20

    /// - Parameter hasSeen: it was in the head already.
    init(_ redactor: Redactor, isCompressed: Bool, hasSeen: Bool) {
        plain = redactor.makeStream()
        inflated = redactor.makeStream()
        inflater = isCompressed ? Inflater(windowBits: Inflater.byHeader) : nil
        self.hasSeen = hasSeen
    }

    mutating func push(_ part: ByteBuffer) {
        if hasSeen { return }
        var ignored: [UInt8] = []
        part.withUnsafeReadableBytes { plain.push($0.bindMemory(to: UInt8.self), into: &ignored) }
        if let inflater {
            let goesOn = inflater.push(part) { bytes in
                ignored.removeAll(keepingCapacity: true)
                bytes.withUnsafeBufferPointer { inflated.push($0, into: &ignored) }
                left -= bytes.count
                return inflated.hits == 0 && left > 0
            }
            if !goesOn { self.inflater = nil }
            if left <= 0 { hasSeen = true }
        }
        hasSeen = hasSeen || plain.hits + inflated.hits > 0
    }

    mutating func finish() {
        var ignored: [UInt8] = []
        plain.finish(into: &ignored)
        inflated.finish(into: &ignored)
        hasSeen = hasSeen || plain.hits + inflated.hits > 0
    }
}
