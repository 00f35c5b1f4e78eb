import NIOCore

/// One end of a forwarded connection, as the other end sees it.
protocol SpliceEnd: AnyObject {
    /// Whether it takes more bytes now.
    var isWritable: Bool { get }
    /// Sends bytes that came from the other end.
    func send(_ bytes: ByteBuffer)
    func otherBecameWritable()
    /// Nothing more comes from the other end; what was sent still goes out.
    func otherEndedInput()
    func otherClosed()
}

/// Passes bytes between two channels of one loop. Each reads only as fast as the other writes.
final class Splice: ChannelDuplexHandler, SpliceEnd {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private weak var partner: (any SpliceEnd)?
    private let connection: ForwardedConnection
    private let isInside: Bool
    private var context: ChannelHandlerContext?
    private var wantsRead = false
    private var isEndingOutput = false

    init(_ connection: ForwardedConnection, isInside: Bool) {
        self.connection = connection
        self.isInside = isInside
    }

    /// Inside and outside. Each keeps the other only weakly; the channels' pipelines hold them.
    static func pair(_ connection: ForwardedConnection) -> (Splice, Splice) {
        let left = Splice(connection, isInside: true)
        let right = Splice(connection, isInside: false)
        left.join(right)
        right.join(left)
        return (left, right)
    }

    func join(_ partner: any SpliceEnd) { self.partner = partner }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    // MARK: From its own channel

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        let count = bytes.readableBytes
        partner?.send(bytes)
        if isInside { connection.carried(out: count) } else { connection.carried(in: count) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { partner?.otherEndedInput() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        partner?.otherClosed()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { partner?.otherBecameWritable() }
    }

    func read(context: ChannelHandlerContext) {
        if partner?.isWritable ?? true { context.read() } else { wantsRead = true }
    }

    // MARK: From the other end

    var isWritable: Bool { context?.channel.isWritable ?? true }

    // Flushed at once: what an opening held back arrives without a "read complete" after it.
    func send(_ bytes: ByteBuffer) { context?.writeAndFlush(wrapOutboundOut(bytes), promise: nil) }

    func otherBecameWritable() {
        guard wantsRead else { return }
        wantsRead = false
        context?.read()
    }

    func otherEndedInput() {
        isEndingOutput = true
        context?.close(mode: .output, promise: nil)
    }

    func otherClosed() { Self.end(context, isEndingOutput: isEndingOutput) }

    /// Where the other end said that no more comes, what it sent before is still on its way.
    static func end(_ context: ChannelHandlerContext?, isEndingOutput: Bool) {
        guard let context else { return }
        guard isEndingOutput else { return context.close(promise: nil) }
        let channel = context.channel
        channel.eventLoop.scheduleTask(in: .seconds(2)) { channel.close(promise: nil) }
    }
}
