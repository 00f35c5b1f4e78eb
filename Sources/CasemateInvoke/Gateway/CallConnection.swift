import NIOCore

/// What the pipeline holds of a connection: it may outlive it.
final class CallConnection: CallResponder {
    private weak var handler: GatewayHandler?
    var onWritable: ((Bool) -> Void)?
    var notes = CallNotes()
    /// Ends with the connection, where it is a question that waits.
    var inquiry: Task<Void, Never>?

    init(handler: GatewayHandler) { self.handler = handler }

    /// Nil once the call is answered: what is said later is not for the connection's next one.
    private var asking: GatewayHandler? { handler?.current === self ? handler : nil }

    func answer(_ reply: RedactedReply) { asking?.answer(reply) }
    func begin(_ stream: RedactedStream) { asking?.begin(stream) }
    func part(_ bytes: ByteBuffer) { asking?.part(bytes) }
    func finish() { asking?.finish() }
    func abort() { asking?.abort() }
}
