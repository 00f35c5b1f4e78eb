import CasemateModel
import CasemateSandbox
import CasemateVault
import CasemateWire
import NIOCore
import NIOHTTP1

/// A sandbox that runs one revision. Lives on the gateway's event loop; runs one call at a time.
final class Instance {
    let sandbox: WarmSandbox
    var call: RunningCall?
    var idleSince = NIODeadline.now()
    /// The reply is complete; what was printed is still coming in.
    var isConcluding = false
    /// The sandbox ended by itself after a complete reply.
    var isGone = false
    private var number: UInt32 = 0
    private var output: LogCollector
    private var error: LogCollector
    private let redactor: Redactor
    private let write: ([LogLine]) -> Void

    /// - Parameter write: takes redacted lines.
    init(sandbox: WarmSandbox, redactor: Redactor, write: @escaping ([LogLine]) -> Void) {
        self.sandbox = sandbox
        self.write = write
        self.redactor = redactor
        output = LogCollector(stream: .output, redactor: redactor)
        error = LogCollector(stream: .error, redactor: redactor)
        sandbox.onOutput = { [weak self] isError, bytes in
            guard let self else { return }
            var lines: [LogLine] = []
            if isError {
                self.error.take(bytes, at: .now, call: self.call?.id, into: &lines)
            } else {
                self.output.take(bytes, at: .now, call: self.call?.id, into: &lines)
            }
            if !lines.isEmpty { self.write(lines) }
        }
    }

    /// Sends the call to the shim.
    func begin(_ running: RunningCall) {
        call = running
        number &+= 1
        if running.hasToken {
            output.use(running.redact.redactor)
            error.use(running.redact.redactor)
        }
        let call = running.admitted.call
        var meta = ByteBuffer()
        meta.writeString(call.method.rawValue)
        meta.writeInteger(UInt8(0))
        meta.writeSubstring(call.path)
        meta.writeInteger(UInt8(0))
        meta.writeSubstring(call.query)
        meta.writeInteger(UInt8(0))
        for (name, value) in call.headers {
            meta.writeString(name)
            meta.writeInteger(UInt8(0))
            meta.writeString(value)
            meta.writeInteger(UInt8(0))
        }
        let body = running.admitted.body
        sandbox.send(
            FrameHeader(kind: .invoke, metaLength: meta.readableBytes, bodyLength: body?.readableBytes ?? 0, call: number), meta: meta,
            body: body)
    }

    /// Whether a reply's header answers the call that runs.
    func isReply(_ header: FrameHeader) -> Bool { header.kind == .reply && header.call == number && call != nil && !isConcluding }

    /// Takes in all that the call printed, so that it can be read once the answer is out.
    /// Answers how many values were replaced in it.
    @discardableResult
    func finishLogs() -> Int {
        var lines: [LogLine] = []
        let now = Timestamp.now
        output.finish(at: now, call: call?.id, into: &lines)
        error.finish(at: now, call: call?.id, into: &lines)
        if !lines.isEmpty { write(lines) }
        if call?.hasToken == true {
            output.use(redactor)
            error.use(redactor)
        }
        return output.takeHits() + error.takeHits()
    }
}
