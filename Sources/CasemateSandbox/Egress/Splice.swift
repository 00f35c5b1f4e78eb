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

/// The end towards the world, as the one towards the sandbox sees it.
protocol FarEnd: AnyObject {
    /// Whether it takes more now; when it does again, it says so.
    var isWritable: Bool { get }
    func join(_ partner: any SpliceEnd)
    func otherBecameWritable()
    /// Nothing more comes from inside.
    func endOutput()
    func otherClosed()
}

/// Passes bytes between two channels of one loop. Each reads only as fast as the other writes.
final class Splice: ChannelDuplexHandler, SpliceEnd, FarEnd {
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
        guard let partner else { return }
        let bytes = unwrapInboundIn(data)
        let count = bytes.readableBytes
        partner.send(bytes)
        if isInside {
            connection.carried(out: count)
        } else {
            // A server that speaks first, and a client that only listens, are past the opening too.
            connection.opened()
            connection.carried(in: count)
        }
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

    func otherEndedInput() { endOutput() }

    func otherClosed() {
        // Whatever still comes has nobody to go to; it is read, so that closing does not take from this end what it has not read yet.
        partner = nil
        otherBecameWritable()
        endOutput()
    }

    /// Ends this channel's output when all of it is written, and the channel soon after, if the other end is gone.
    ///
    /// Not `close(mode: .output)` at once: where the input has ended already, NIO closes the channel, with what waits to be written.
    func endOutput() {
        guard let context else { return }
        let bound = NIOLoopBound((self, context.channel), eventLoop: context.eventLoop)
        if !isEndingOutput {
            isEndingOutput = true
            context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in
                let (splice, channel) = bound.value
                channel.close(mode: .output, promise: nil)
                if splice.partner == nil { splice.closeSoon(channel, in: Self.linger) }
            }
        }
        if partner == nil { closeSoon(context.channel, in: Self.longest) }
    }

    private func closeSoon(_ channel: any Channel, in delay: TimeAmount) {
        let timer = channel.eventLoop.scheduleTask(in: delay) { channel.close(promise: nil) }
        channel.closeFuture.whenComplete { _ in timer.cancel() }
    }

    private static let linger = TimeAmount.seconds(2)
    /// For an end that does not take what was sent to it.
    private static let longest = TimeAmount.seconds(60)
}
