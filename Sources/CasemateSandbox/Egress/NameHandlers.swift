import NIOCore

/// Answers questions that come as datagrams.
final class DatagramNames: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    private let egress: SandboxEgress

    init(_ egress: SandboxEgress) { self.egress = egress }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        let message = Array(envelope.data.readableBytesView)
        let channel = context.channel
        let send: @Sendable ([UInt8]) -> Void = { bytes in
            channel.writeAndFlush(
                AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: ByteBuffer(bytes: bytes)), promise: nil)
        }
        guard let query = NameQuery(message) else {
            if let fault = NameQuery.fault(of: message) { send(fault) }
            return
        }
        egress.resolve(query) { send(query.response($0)) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A datagram that could not be sent is lost; the socket goes on.
    }
}

/// Answers questions that come over a stream (RFC 1035 §4.2.2), each behind its length.
final class StreamedNames: ChannelInboundHandler {
    typealias InboundIn = [UInt8]
    typealias OutboundOut = ByteBuffer

    private static let longest = TimeAmount.seconds(10)
    private static let most = 64
    private var questions = 0

    private let egress: SandboxEgress
    private var timer: Scheduled<Void>?

    init(_ egress: SandboxEgress) { self.egress = egress }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        timer = context.eventLoop.scheduleTask(in: Self.longest) { channel.close(promise: nil) }
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let channel = context.channel
        questions += 1
        // Who asks and does not read the answers would have them kept here.
        guard channel.isWritable, questions <= Self.most, let query = NameQuery(unwrapInboundIn(data)) else {
            return context.close(promise: nil)
        }
        egress.resolve(query) { answer in
            let bytes = query.response(answer)
            var buffer = ByteBuffer()
            buffer.writeInteger(UInt16(bytes.count))
            buffer.writeBytes(bytes)
            channel.writeAndFlush(buffer, promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Cuts a stream into messages. One longer than any question of ours ends it.
struct StreamedQueryDecoder: ByteToMessageDecoder {
    typealias InboundOut = [UInt8]

    mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt16.self) else { return .needMoreData }
        guard length <= NameQuery.longest else { throw ChannelError.eof }
        guard buffer.readableBytes >= 2 + Int(length) else { return .needMoreData }
        buffer.moveReaderIndex(forwardBy: 2)
        context.fireChannelRead(wrapInboundOut(buffer.readBytes(length: Int(length)) ?? []))
        return .continue
    }

    mutating func decodeLast(context: ChannelHandlerContext, buffer: inout ByteBuffer, seenEOF: Bool) throws -> DecodingState {
        try decode(context: context, buffer: &buffer)
    }
}
