import NIOCore
import NIOHTTP1
import NIOSSL

/// Holds a client's first bytes until it is known that they ask for the name that was dialled, and the world is connected.
///
/// At port 443 nothing is connected before that. Elsewhere the server may speak first, so the world is connected at once, and what begins
/// like TLS is held to the same rule.
final class Opening: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let connection: ForwardedConnection
    /// What a client must begin with.
    enum Rule {
        /// TLS that asks for the name that was dialled.
        case tls
        /// Anything; what begins like TLS is held to the same.
        case tlsOrOther
        /// Anything: an address was dialled, which nothing that is sent has to name.
        case anything
    }

    private let rule: Rule
    private var mustBeTLS: Bool { if case .tls = rule { true } else { false } }
    private let injection: Injection?
    private var hello = ClientHello()
    private var held = ByteBuffer()
    private var isCleared = false
    private var hasEndedInput = false
    private var isConnecting = false
    private var splice: Splice?

    /// - Parameter injection: what is put into the requests, whose TLS ends here then.
    init(_ connection: ForwardedConnection, _ rule: Rule, injection: Injection? = nil) {
        self.connection = connection
        self.rule = rule
        if case .anything = rule { isCleared = true }
        self.injection = injection
    }

    func channelActive(context: ChannelHandlerContext) {
        if !mustBeTLS { connect(context) }
        if !isCleared { context.read() }
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        guard !isCleared else {
            held.writeBuffer(&bytes)
            return
        }
        if held.readableBytes == 0, !mustBeTLS, let first = bytes.readableBytesView.first, !ClientHello.begins(with: first) {
            held = bytes
            return clear(context)
        }
        hello.feed(bytes.readableBytesView)
        held.writeBuffer(&bytes)
        let name = connection.target.name
        switch hello.reading {
        case .needsMore: break
        case .name(let asked) where asked.lowercased() == name: clear(context)
        case .name(let asked):
            connection.refuseName(asked, "the TLS client asks for")
        case .noName: connection.refuse(.wrongName, "the TLS client names no server (SNI)")
        case .hiddenName: connection.refuse(.wrongName, "the TLS client hides its server's name (ECH)")
        case .notTLS: connection.refuse(.notTLS, "what was sent is not the beginning of TLS")
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // One more read while the hello is not complete; then the splice reads.
        if !isCleared, !hasEndedInput { context.read() }
        context.fireChannelReadComplete()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            hasEndedInput = true
            if !isCleared {
                guard !mustBeTLS, held.readableBytes == 0 else {
                    return connection.refuse(.notTLS, "the client ended before it had said whom it asks for")
                }
                clear(context)
            }
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func clear(_ context: ChannelHandlerContext) {
        isCleared = true
        if let injection { return terminate(context, injection) }
        if splice != nil { release(context) } else { connect(context) }
    }

    private func connect(_ context: ChannelHandlerContext) {
        guard !isConnecting else { return }
        isConnecting = true
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        connection.connect().whenSuccess { outside in
            let (opening, context) = bound.value
            opening.connected(outside, context)
        }
    }

    private func connected(_ outside: any Channel, _ context: ChannelHandlerContext) {
        guard context.channel.isActive else { return outside.close(promise: nil) }
        let (left, right) = Splice.pair(connection)
        do {
            try context.channel.pipeline.syncOperations.addHandler(left)
            try outside.pipeline.syncOperations.addHandler(right)
        } catch {
            return outside.close(promise: nil)
        }
        splice = left
        outside.setOption(.autoRead, value: true).whenSuccess { outside.read() }
        if isCleared { release(context) }
    }

    /// From here on it is a server's side of TLS, and the world is connected when a whole request's head is there.
    private func terminate(_ context: ChannelHandlerContext, _ injection: Injection) {
        do {
            try context.pipeline.syncOperations.addHandlers([
                NIOSSLServerHandler(context: injection.context(for: connection.target.name)),
                ForwardedRequests.decoder(), ForwardedRequests(connection, injection: injection),
            ])
        } catch {
            return context.close(promise: nil)
        }
        context.fireChannelRead(wrapInboundOut(held))
        held = ByteBuffer()
        context.fireChannelReadComplete()
        if hasEndedInput { context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        let channel = context.channel
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
        // The handlers were not there when it became active; a read more than they ask for does no harm.
        channel.read()
    }

    private func release(_ context: ChannelHandlerContext) {
        connection.opened()
        if held.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(held)) }
        held = ByteBuffer()
        if hasEndedInput { context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        let channel = context.channel
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
        channel.setOption(.autoRead, value: true).whenSuccess { channel.read() }
    }
}
