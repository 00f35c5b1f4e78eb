import CasemateStore
import NIOCore
import NIOHTTP1

/// Takes the answer of a call that nobody waits for. Lives on the gateway's loop.
final class QueuedResponder: CallResponder {
    let claimed: ClaimedCall
    var onWritable: ((Bool) -> Void)?
    var notes = CallNotes()
    private let done: (QueuedResponder, Answer) -> Void
    private var head: RedactedReply?
    private var body = ByteBuffer()
    private var isOver = false

    struct Answer {
        var status: Int
        /// Nil where it is too long to be kept, or broke off.
        var result: QueuedResult?
        /// The answer began and did not come to its end.
        var isCut = false
    }

    /// - Parameter done: hears once.
    init(_ claimed: ClaimedCall, _ done: @escaping (QueuedResponder, Answer) -> Void) {
        self.claimed = claimed
        self.done = done
    }

    func answer(_ reply: RedactedReply) {
        head = reply
        body = reply.body
        finish()
    }

    func begin(_ stream: RedactedStream) { head = stream.reply }

    func part(_ bytes: ByteBuffer) {
        // One byte more than is kept is as good as all of them.
        guard body.readableBytes <= QueuedResult.most else { return }
        body.writeImmutableBuffer(bytes)
    }

    func finish() {
        guard let head else { return abort() }
        let isKept = body.readableBytes <= QueuedResult.most
        conclude(
            Answer(
                status: Int(head.status.code),
                result: isKept ? QueuedResult(status: Int(head.status.code), headers: head.headers, body: body) : nil))
    }

    func abort() { conclude(Answer(status: 502, result: nil, isCut: true)) }

    private func conclude(_ answer: Answer) {
        guard !isOver else { return }
        isOver = true
        done(self, answer)
    }
}
