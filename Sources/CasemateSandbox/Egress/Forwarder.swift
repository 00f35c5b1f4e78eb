import NIOCore
import NIOPosix
import NIOTLS

/// One connection out of a sandbox: reads the TLS client's hello, checks the name, connects, and passes bytes both ways.
enum Forwarder {
    /// Sets up a connection that was accepted on the listener of `host`.
    static func install(in channel: any Channel, for host: AllowedHost) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            let sni = ByteToMessageHandler(
                SNIHandler { result in
                    guard case .hostname(let name) = result, name.lowercased() == host.name else {
                        return channel.close()
                    }
                    return connect(channel, to: host)
                })
            try channel.pipeline.syncOperations.addHandlers([HelloTimeout(), sni])
        }
    }

    private static func connect(_ inside: any Channel, to host: AllowedHost) -> EventLoopFuture<Void> {
        ClientBootstrap(group: inside.eventLoop)
            .connectTimeout(.seconds(10))
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.autoRead, value: false)
            .connect(host: host.name, port: Int(host.port))
            .flatMap { outside in
                inside.eventLoop.makeCompletedFuture {
                    let (left, right) = Splice.pair()
                    try inside.pipeline.syncOperations.addHandler(left)
                    try outside.pipeline.syncOperations.addHandler(right)
                    // What came before the splice was there waits for it.
                    outside.setOption(.autoRead, value: true).whenSuccess { outside.read() }
                }
            }
            .flatMapError { _ in inside.close() }
    }
}

/// Whoever connects and says nothing is let go.
private final class HelloTimeout: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private var timer: Scheduled<Void>?

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: .seconds(10)) { bound.value.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        timer?.cancel()
        context.fireChannelRead(data)
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        context.fireChannelInactive()
    }
}

/// Passes bytes between two channels of one loop. Reads only as fast as the other side writes.
private final class Splice: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private weak var partner: Splice?
    private var context: ChannelHandlerContext?
    private var wantsRead = false

    /// Each keeps the other only weakly; the channels' pipelines hold them.
    static func pair() -> (Splice, Splice) {
        let left = Splice()
        let right = Splice()
        left.partner = right
        right.partner = left
        return (left, right)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Flushed at once: what the SNI handler held back arrives without a "read complete" after it.
        partner?.context?.writeAndFlush(wrapOutboundOut(unwrapInboundIn(data)), promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            partner?.context?.close(mode: .output, promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        partner?.context?.close(promise: nil)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { partner?.partnerBecameWritable() }
    }

    func read(context: ChannelHandlerContext) {
        if partner?.context?.channel.isWritable ?? true {
            context.read()
        } else {
            wantsRead = true
        }
    }

    private func partnerBecameWritable() {
        guard wantsRead else { return }
        wantsRead = false
        context?.read()
    }
}
