import CasemateModel
import CasemateVault
import CasemateWire
import NIOCore
import NIOHTTP1

/// Where a call's answer goes: the gateway's connection.
package protocol CallResponder: AnyObject {
    func answer(_ reply: RedactedReply)
    func begin(_ stream: RedactedStream)
    func part(_ bytes: ByteBuffer)
    func finish()
    /// Ends the connection so that no one takes what was sent for the whole.
    func abort()
    /// Called with false while the connection takes no more, with true when it does again.
    var onWritable: ((Bool) -> Void)? { get set }
    /// Set just before the answer.
    var notes: CallNotes { get set }
}

/// What the platform tells of a call besides its answer.
package struct CallNotes {
    /// For a caller that asked: the phases.
    package var timing: String?
    /// The number of the revision that ran the call.
    package var revision: Int?
    /// What went wrong, fit for anyone's eyes; nil where the function answered itself.
    package var problem: Problem?
}

/// One admitted call on its way through Run, Redact and Record.
package final class RunningCall {
    let admitted: AdmittedCall
    let session: CallSession?
    let responder: any CallResponder
    let redact: Redact
    let deadline: NIODeadline
    var times: CallTimes
    /// Its number on the instance that runs it.
    var number: UInt32 = 0
    /// Its answer is complete; what it printed is still coming in.
    var isConcluding = false
    /// What it printed, where several calls share an instance.
    var printed: (output: LogCollector, error: LogCollector)?
    private let recorder: CallRecorder
    private var head: FrameHeader?
    private var headers: [(name: String, value: String)] = []
    private var body = ByteBuffer()
    private var stream: RedactedStream?
    private(set) var isAnswered = false
    /// Its answer held a secret, and was not sent.
    private(set) var isBlocked = false
    /// Its answer holds a secret of its function's, which may.
    private(set) var answersWithSecret = false

    var id: CallId { admitted.call.id }
    /// The caller's token is looked for besides the secrets.
    var hasToken: Bool { admitted.routed.authorized.token != nil }

    init(
        admitted: AdmittedCall, session: CallSession?, responder: any CallResponder, redact: Redact, times: CallTimes,
        deadline: NIODeadline,
        recorder: CallRecorder
    ) {
        self.admitted = admitted
        self.session = session
        self.responder = responder
        self.redact = redact
        self.times = times
        self.deadline = deadline
        self.recorder = recorder
    }

    /// The shim's own word that the process of an isolated call is gone.
    var lostItsProcess: Bool { head?.flags == FrameHeader.Outcome.ended.rawValue }

    func head(_ header: FrameHeader, meta: ByteBuffer) {
        head = header
        headers = Self.pairs(meta)
    }

    func part(_ bytes: ByteBuffer) {
        guard !isAnswered || stream != nil else { return }
        if let stream {
            send(stream.push(bytes))
            return
        }
        var bytes = bytes
        body.writeBuffer(&bytes)
        guard body.readableBytes > Redact.wholeBodyLimit, let head, head.flags == FrameHeader.Outcome.answered.rawValue else { return }
        do {
            let stream = try redact.stream(reply(head, body: ByteBuffer()), start: body, of: id)
            self.stream = stream
            isAnswered = true
            tellTimes()
            responder.begin(stream)
            let start = body
            body = ByteBuffer()
            send(stream.push(start))
        } catch {
            fail(error)
        }
    }

    /// Nil from the stream: a value was found where it can't be taken out.
    private func send(_ bytes: ByteBuffer?) {
        guard let bytes else {
            responder.abort()
            stream = nil
            isBlocked = true
            ended(Problem.Code.secretInResponse.slug)
            return
        }
        if bytes.readableBytes > 0 { responder.part(bytes) }
    }

    /// The reply's frame is complete and its logs are taken in. Answers the number of values replaced.
    func conclude() -> Int {
        if let stream {
            send(stream.finish())
            answersWithSecret = stream.letsThrough
            if self.stream != nil {
                responder.finish()
                self.stream = nil
                ended("answered", failed: isServerError)
            }
            return stream.hits
        }
        guard !isAnswered, let head else { return 0 }
        do {
            times.replied = .now()
            let reply = try redact(try reply(head, body: body), of: id)
            isAnswered = true
            answersWithSecret = redact.letsThrough(reply)
            tellTimes()
            responder.answer(reply)
            ended("answered", failed: isServerError)
            return reply.hits
        } catch {
            fail(error)
            return error.code == .secretInResponse ? 1 : 0
        }
    }

    func fail(_ problem: Problem) {
        if isAnswered {
            guard stream != nil else { return }
            responder.notes.problem = redact.redacted(problem)
            responder.abort()
            stream = nil
        } else {
            isAnswered = true
            tellTimes()
            let clean = redact.redacted(problem)
            responder.notes.problem = clean
            responder.answer(Redact.refusal(clean, of: id))
        }
        if problem.code == .secretInResponse { isBlocked = true }
        if let limit = CallMetrics.Limit(problem) { recorder.metrics.ranInto(limit) }
        ended(problem.code.slug, failed: problem.code.status >= 500)
    }

    /// The function's own word that it failed.
    private var isServerError: Bool { (head?.status ?? 0) >= 500 }

    private func tellTimes() {
        responder.notes.revision = admitted.routed.revision.number
        if admitted.call.wantsTiming { responder.notes.timing = times.serverTiming(until: .now()) }
    }

    private func ended(_ outcome: String, failed: Bool = true) {
        session?.end()
        if let split = admitted.routed.function.split, admitted.routed.function.other == nil { split.ended(failed: failed) }
        recorder.metrics.ended(outcome, after: .now() - times.received, queued: times.queue)
    }

    private func reply(_ head: FrameHeader, body: ByteBuffer) throws(Problem) -> Reply {
        switch FrameHeader.Outcome(rawValue: head.flags) {
        case .answered: return Reply(status: Int(head.status), headers: headers, body: body)
        case .raised:
            let limit = CallMetrics.Limit(rawValue: String(decoding: body.readableBytesView.prefix(32), as: UTF8.self))
            throw Problem(
                .functionRaised, "the function raised an exception; its log has the traceback under this call id", reason: limit?.rawValue)
        case .badResult: throw Problem(.badResult, "the function's result can't be turned into a response; its log says why")
        case .badRequest: throw Problem(.invalidRequest, String(decoding: body.readableBytesView.prefix(300), as: UTF8.self))
        case .ended: throw Problem(.functionCrashed, "the function's process ended before it answered", reason: "exited")
        case nil: throw Problem(.functionCrashed, "the function's sandbox sent something that is not a reply", reason: "protocol")
        }
    }

    /// `name` NUL `value` NUL …; a name or value that is not text is left to the check that follows.
    private static func pairs(_ meta: ByteBuffer) -> [(name: String, value: String)] {
        guard meta.readableBytes > 0 else { return [] }
        let parts = meta.readableBytesView.split(separator: 0, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
        return stride(from: 0, to: parts.count - 1, by: 2).map { (parts[$0], parts[$0 + 1]) }
    }
}
