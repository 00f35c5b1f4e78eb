import CasemateIdentity
import CasemateModel
import CasemateSandbox
import CasemateVault
import CasemateWire
import NIOCore
import NIOHTTP1

/// A sandbox that runs one revision. Lives on the gateway's event loop.
final class Instance: Equatable {
    let sandbox: WarmSandbox
    /// Calls that may run in it at once.
    let concurrency: Int
    /// How long loading took; whatever was heavy to load is worth freezing.
    var loadTime = TimeAmount.zero
    /// Told by the first call.
    var start: StartTimes?
    private(set) var calls: [RunningCall] = []
    /// How many calls waited, at most, for those that it ran last: what a function leaves running goes on at their depth.
    private(set) var deepest = 0
    var idleSince = NIODeadline.now()
    /// Takes no more calls.
    var isDraining = false
    /// The sandbox ended by itself after a complete reply.
    var isGone = false
    /// It ran out of time; whatever it still says does not count.
    var isEnding = false
    /// Since when an isolated instance makes ready for its next call.
    var readySince: NIODeadline?
    /// It made ready before its answer was concluded.
    var isReadyEarly = false
    private var number: UInt32 = 0
    private var frame = Frame.none
    /// Numbers of calls that were answered before their function was done: its late reply means nothing.
    private var abandoned: Set<UInt32> = []
    private var output: LogCollector
    private var error: LogCollector
    private let redactor: CallRedactor
    private let write: ([LogLine]) -> Void
    private let isolatedFields: ByteBuffer?

    /// Whose frame comes in just now.
    private enum Frame {
        case none
        case reply(RunningCall)
        case printed(RunningCall?, isError: Bool)
        case ready
        case late
    }

    /// - Parameters:
    ///   - isolatedFields: for a process per call, what only that process gets.
    ///   - write: takes redacted lines.
    init(
        sandbox: WarmSandbox, concurrency: Int, isolatedFields: ByteBuffer?, redactor: Redactor, write: @escaping ([LogLine]) -> Void
    ) {
        self.sandbox = sandbox
        self.concurrency = concurrency
        self.isolatedFields = isolatedFields
        self.write = write
        self.redactor = CallRedactor(redactor)
        output = LogCollector(stream: .output, redactor: redactor)
        error = LogCollector(stream: .error, redactor: redactor)
        sandbox.onOutput = { [weak self] isError, bytes in
            guard let self else { return }
            var lines: [LogLine] = []
            // Where calls share an instance, what comes by the pipes is nobody's.
            let call = self.concurrency == 1 ? self.calls.first?.id : nil
            if isError {
                self.error.take(bytes, at: .now, call: call, into: &lines)
            } else {
                self.output.take(bytes, at: .now, call: call, into: &lines)
            }
            if !lines.isEmpty { self.write(lines) }
        }
    }

    static func == (left: Instance, right: Instance) -> Bool { left === right }

    // MARK: Calls

    /// Sends the call to the shim.
    func begin(_ call: RunningCall) {
        number &+= 1
        call.number = number
        call.times.begun = .now()
        call.times.start = start
        start = nil
        calls.append(call)
        deepest = calls.map(\.admitted.call.depth).max() ?? 0
        if concurrency > 1 {
            call.printed = (
                LogCollector(stream: .output, call.redact.redactor), LogCollector(stream: .error, call.redact.redactor)
            )
        } else if call.hasToken {
            output.use(call.redact.redactor)
            error.use(call.redact.redactor)
        }
        var meta = ByteBuffer()
        if let isolatedFields {
            meta.writeInteger(UInt32(isolatedFields.readableBytes))
            meta.writeImmutableBuffer(isolatedFields)
        }
        Self.write(call.admitted.call, into: &meta)
        if let session = call.session {
            session.begin(in: sandbox.id)
            Self.write("Casemate-Session", session.key.revealed, into: &meta)
        }
        let body = call.admitted.body
        let start = body.begin { [sandbox] in sandbox.sendMore($0) }
        if !body.isComplete { sandbox.onWritable = { [weak body] in body?.resume() } }
        sandbox.send(
            FrameHeader(
                kind: isolatedFields == nil ? .invoke : .invokeIsolated, metaLength: meta.readableBytes, bodyLength: body.length,
                call: number), meta: meta, body: start)
    }

    private static func write(_ call: IncomingCall, into meta: inout ByteBuffer) {
        meta.writeString(call.method.rawValue)
        meta.writeInteger(UInt8(0))
        meta.writeSubstring(call.path)
        meta.writeInteger(UInt8(0))
        meta.writeSubstring(call.query)
        meta.writeInteger(UInt8(0))
        for (name, value) in call.headers { write(name, value, into: &meta) }
    }

    private static func write(_ name: String, _ value: String, into meta: inout ByteBuffer) {
        meta.writeString(name)
        meta.writeInteger(UInt8(0))
        meta.writeString(value)
        meta.writeInteger(UInt8(0))
    }

    var isIsolated: Bool { isolatedFields != nil }

    /// Its call is over, whatever became of it.
    func forget(_ call: RunningCall) { calls.removeAll { $0 === call } }

    /// The call was answered for its function, which still runs beside others.
    func abandon(_ call: RunningCall) {
        forget(call)
        abandoned.insert(call.number)
    }

    // MARK: Frames

    enum Event {
        case goesOn
        /// The answer of this call is complete.
        case replied(RunningCall)
        /// The next isolated call may come.
        case ready
        /// Not a frame that was due: the sandbox is hostile.
        case fault
    }

    /// Takes what the shim sent.
    func take(_ event: ShimEvent) -> Event {
        switch event {
        case .head(let header, let meta): return head(header, meta)
        case .body(let bytes):
            switch frame {
            case .reply(let call): call.part(bytes)
            case .printed(let call, let isError): take(bytes, of: call, isError: isError)
            case .late: break
            case .none, .ready: return .fault
            }
            return .goesOn
        case .end:
            defer { frame = .none }
            switch frame {
            case .reply(let call):
                call.isConcluding = true
                call.session?.end()
                return .replied(call)
            case .ready: return .ready
            case .printed, .late: return .goesOn
            case .none: return .fault
            }
        }
    }

    private func head(_ header: FrameHeader, _ meta: ByteBuffer) -> Event {
        switch header.kind {
        case .reply:
            if abandoned.remove(header.call) != nil {
                frame = .late
                return .goesOn
            }
            // A second one, or one that nobody asked for, is a fault.
            guard let call = calls.first(where: { $0.number == header.call && !$0.isConcluding }), call.admitted.body.isComplete else {
                return .fault
            }
            call.head(header, meta: meta)
            // Where calls share a socket, one slow caller must not hold up the others.
            if concurrency == 1 { call.responder.onWritable = { [weak self] in self?.sandbox.setReading($0) } }
            frame = .reply(call)
        case .printed:
            guard concurrency > 1, header.bodyLength <= 65_536, header.metaLength == 0 else { return .fault }
            frame = .printed(calls.first { $0.number == header.call && !$0.isConcluding }, isError: header.flags == 1)
        case .ready:
            guard isIsolated, readySince != nil || (!calls.isEmpty && calls.allSatisfy(\.isConcluding)), !isReadyEarly,
                header.call == number, header.bodyLength == 0, header.metaLength == 0
            else { return .fault }
            frame = .ready
        default: return .fault
        }
        return .goesOn
    }

    private func take(_ bytes: ByteBuffer, of call: RunningCall?, isError: Bool) {
        var lines: [LogLine] = []
        switch (call, isError) {
        case (let call?, false): call.printed?.output.take(bytes, at: .now, call: call.id, into: &lines)
        case (let call?, true): call.printed?.error.take(bytes, at: .now, call: call.id, into: &lines)
        case (nil, false): output.take(bytes, at: .now, call: nil, into: &lines)
        case (nil, true): error.take(bytes, at: .now, call: nil, into: &lines)
        }
        if !lines.isEmpty { write(lines) }
    }

    // MARK: Logs

    /// Takes in all that `call` printed, so that it can be read once the answer is out; without a call, what loading printed.
    /// Answers how many values were replaced in it, and how many lines were dropped.
    @discardableResult
    func finishLogs(of call: RunningCall?) -> (hits: Int, dropped: Int) {
        var lines: [LogLine] = []
        let now = Timestamp.now
        var dropped = 0
        var hits = 0
        if let call, var printed = call.printed {
            call.printed = nil
            dropped = printed.output.dropped + printed.error.dropped
            printed.output.finish(at: now, call: call.id, into: &lines)
            printed.error.finish(at: now, call: call.id, into: &lines)
            hits = printed.output.takeHits() + printed.error.takeHits()
        } else {
            dropped = output.dropped + error.dropped
            output.finish(at: now, call: call?.id, into: &lines)
            error.finish(at: now, call: call?.id, into: &lines)
            if call?.hasToken == true {
                output.use(redactor)
                error.use(redactor)
            }
            hits = output.takeHits() + error.takeHits()
        }
        if !lines.isEmpty { write(lines) }
        return (hits, dropped)
    }
}
