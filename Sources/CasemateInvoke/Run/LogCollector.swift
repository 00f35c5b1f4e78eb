import CasemateModel
import CasemateVault
import NIOCore

/// One stream of one instance: bytes in, redacted lines out. A value that is cut by write boundaries is still found.
struct LogCollector {
    /// Longer lines are cut, and go on in the next.
    static let maximumLine = 16_384
    /// What one call may print, before lines are dropped and counted.
    static let maximumPerCall = 32 << 20

    let stream: LogLine.Stream
    /// Made with the first byte: most calls print nothing.
    private var redaction: RedactorStream?
    private var redactor: CallRedactor
    private var partial: [UInt8] = []
    private var taken = 0
    private(set) var dropped = 0
    private var hits = 0

    init(stream: LogLine.Stream, redactor: Redactor) { self.init(stream: stream, CallRedactor(redactor)) }

    init(stream: LogLine.Stream, _ redactor: CallRedactor) {
        self.stream = stream
        self.redactor = redactor
    }

    /// How many values were replaced since it was asked last.
    mutating func takeHits() -> Int {
        defer { hits = 0 }
        return hits
    }

    /// Between calls, when nothing is held back: what to look for from now on.
    mutating func use(_ redactor: CallRedactor) {
        self.redactor = redactor
        redaction = nil
    }

    mutating func take(_ bytes: ByteBuffer, at time: Timestamp, call: CallId?, into lines: inout [LogLine]) {
        var clean: [UInt8] = []
        if redaction == nil { redaction = redactor.whole.makeStream() }
        bytes.withUnsafeReadableBytes { raw in redaction?.push(raw.bindMemory(to: UInt8.self), into: &clean) }
        cut(clean, at: time, call: call, into: &lines)
    }

    /// The call has ended: nothing that it printed is held back.
    mutating func finish(at time: Timestamp, call: CallId?, into lines: inout [LogLine]) {
        guard redaction != nil else { return }
        var clean: [UInt8] = []
        redaction?.finish(into: &clean)
        hits += redaction?.hits ?? 0
        redaction = nil
        cut(clean, at: time, call: call, into: &lines)
        if !partial.isEmpty {
            emit(&lines, at: time, call: call)
        }
        if dropped > 0 {
            lines.append(
                .platform(
                    "\(dropped) lines of \(stream.name) dropped: the call printed over \(Self.maximumPerCall) bytes", at: time, call: call))
        }
        taken = 0
        dropped = 0
    }

    private mutating func cut(_ bytes: [UInt8], at time: Timestamp, call: CallId?, into lines: inout [LogLine]) {
        var rest = bytes[...]
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            partial.append(contentsOf: rest[..<end])
            rest = rest[(end + 1)...]
            emit(&lines, at: time, call: call)
        }
        partial.append(contentsOf: rest)
        while partial.count > Self.maximumLine {
            let more = Array(partial[Self.maximumLine...])
            partial.removeSubrange(Self.maximumLine...)
            emit(&lines, at: time, call: call)
            partial = more
        }
    }

    private mutating func emit(_ lines: inout [LogLine], at time: Timestamp, call: CallId?) {
        defer { partial.removeAll(keepingCapacity: true) }
        var start = partial.startIndex
        repeat {
            let end = min(start + Self.maximumLine, partial.endIndex)
            guard taken < Self.maximumPerCall else {
                dropped += 1
                return
            }
            taken += end - start + 1
            lines.append(LogLine(time: time, stream: stream, call: call, message: Array(partial[start..<end])))
            start = end
        } while start < partial.endIndex
    }
}
