import NIOCore
import NIOHTTPTypes

/// Lets go of connections to the API whose head or body does not arrive in time (case N10). The answer may take as long as it likes:
/// a deployment takes minutes, a followed log has no end.
final class SlowSenderLimit: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart

    private enum Awaited {
        case head
        case body
        case answer

        /// A head is one packet as a rule; an archive of 64 MiB may come over a thin line.
        var limit: TimeAmount? {
            switch self {
            case .head: .seconds(10)
            case .body: .seconds(300)
            case .answer: nil
            }
        }
    }

    private var awaited = Awaited.head
    private var since = NIODeadline.now()
    private var watch: RepeatedTask?

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        watch = context.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(2), delay: .seconds(2)) { _ in
            let (handler, context) = bound.value
            guard let limit = handler.awaited.limit, NIODeadline.now() - handler.since > limit else { return }
            context.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { watch?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        watch?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head: wait(for: .body)
        case .body: break
        case .end: wait(for: .answer)
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) { wait(for: .head) }
        context.write(data, promise: promise)
    }

    private func wait(for next: Awaited) {
        awaited = next
        since = .now()
    }
}
