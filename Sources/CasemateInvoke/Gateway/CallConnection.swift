import NIOCore

/// What the pipeline holds of a connection: it may outlive it.
final class CallConnection: CallResponder {
    private weak var handler: GatewayHandler?
    var onWritable: ((Bool) -> Void)?
    var serverTiming: String?

    init(handler: GatewayHandler) { self.handler = handler }

    func answer(_ reply: RedactedReply) { handler?.answer(reply) }
    func begin(_ stream: RedactedStream) { handler?.begin(stream) }
    func part(_ bytes: ByteBuffer) { handler?.part(bytes) }
    func finish() { handler?.finish() }
    func abort() { handler?.abort() }
}
