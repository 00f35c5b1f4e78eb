import CasemateLinux
import CasemateWire
import Glibc
import NIOCore
import NIOPosix

/// A sandbox whose interpreter waits: its channels live on the pool's event loop. Used on that loop only.
public final class WarmSandbox {
    public let id: UInt32
    public let hostUID: UInt32
    let control: any Channel
    private let handler: ShimChannelHandler
    private let output: any Channel
    private let error: any Channel
    private let outputRaw: Int32
    private let errorRaw: Int32
    /// Its way out, closed until it has rules. There once it is ready.
    public internal(set) var egress: SandboxEgress?
    public private(set) var isOpen = true
    private var isReading = true
    private var received = (output: 0, error: 0)
    private var drain: (output: Int, error: Int, body: () -> Void)?

    /// Frames from the shim. Set by whoever owns the sandbox now.
    public var onEvent: ((ShimEvent) -> Void)? {
        get { handler.onEvent }
        set { handler.onEvent = newValue }
    }

    /// Why a sandbox's socket is closed.
    public enum Closing: Sendable {
        case byTheSandbox
        /// What came over it was no frame of ours.
        case protocolFault
        /// It announced a body over `maximumBodyLength`.
        case tooLong
    }

    public var onClosed: ((Closing) -> Void)? {
        get { handler.onClosed }
        set { handler.onClosed = newValue }
    }

    /// What was printed, in order per stream.
    public var onOutput: ((_ isError: Bool, ByteBuffer) -> Void)?

    init(
        id: UInt32, hostUID: UInt32, control: any Channel, handler: ShimChannelHandler, output: (any Channel, Int32),
        error: (any Channel, Int32)
    ) {
        self.id = id
        self.hostUID = hostUID
        self.control = control
        self.handler = handler
        self.output = output.0
        self.error = error.0
        outputRaw = output.1
        errorRaw = error.1
    }

    /// Sends one frame.
    public func send(_ header: FrameHeader, meta: ByteBuffer, body: ByteBuffer?) {
        var buffer = control.allocator.buffer(
            capacity: FrameHeader.size + meta.readableBytes + (body.map { min($0.readableBytes, 16_384) } ?? 0))
        buffer.writeMultipleIntegers(
            UInt32(header.bodyLength), header.kind.rawValue, header.flags, header.status, UInt32(header.metaLength), header.call)
        buffer.writeImmutableBuffer(meta)
        // A small body travels in the same write; a large one is not copied.
        if let body, body.readableBytes <= 16_384 {
            buffer.writeImmutableBuffer(body)
            control.writeAndFlush(buffer, promise: nil)
        } else {
            control.write(buffer, promise: nil)
            if let body { control.write(body, promise: nil) }
            control.flush()
        }
    }

    /// Sends more of the body of the last frame. False when the socket is full; `onWritable` tells when it is not.
    public func sendMore(_ body: ByteBuffer) -> Bool {
        control.writeAndFlush(body, promise: nil)
        return control.isWritable
    }

    /// Called when the socket takes more again.
    public var onWritable: (() -> Void)? {
        get { handler.onWritable }
        set { handler.onWritable = newValue }
    }

    /// Stops or resumes reading the shim's socket: back-pressure from the caller's connection.
    public func setReading(_ reads: Bool) {
        guard reads != isReading else { return }
        isReading = reads
        _ = control.setOption(.autoRead, value: reads)
        if reads { control.read() }
    }

    public var maximumBodyLength: Int {
        get { handler.decoder.maximumBodyLength }
        set { handler.decoder.maximumBodyLength = newValue }
    }

    /// Calls `body` once all is handed on that is in the pipes right now: after a reply's frame, that is all that the call printed.
    /// At once where the pipes are empty, as they mostly are.
    public func whenDrained(_ body: @escaping () -> Void) {
        let targets = (received.output + pending(outputRaw), received.error + pending(errorRaw))
        guard isOpen, received.output < targets.0 || received.error < targets.1 else { return body() }
        let before = drain
        drain = (
            max(targets.0, before?.output ?? 0), max(targets.1, before?.error ?? 0),
            {
                before?.body()
                body()
            }
        )
    }

    /// Bytes that wait in a pipe. The descriptor is the pipe channel's; reading it behind the channel's back would break its bookkeeping.
    private func pending(_ raw: Int32) -> Int {
        var count: Int32 = 0
        return isOpen && ioctl(raw, UInt(FIONREAD), &count) == 0 ? Int(count) : 0
    }

    func took(_ bytes: ByteBuffer, isError: Bool) {
        onOutput?(isError, bytes)
        if isError { received.error += bytes.readableBytes } else { received.output += bytes.readableBytes }
        guard let drain, received.output >= drain.output, received.error >= drain.error else { return }
        self.drain = nil
        drain.body()
    }

    /// A pipe is closed: nothing more comes.
    func pipeEnded() {
        guard let drain else { return }
        self.drain = nil
        drain.body()
    }

    /// Closes our ends; the shim ends at the end of its socket, the warden kills the rest.
    public func close() {
        guard isOpen else { return }
        pipeEnded()
        isOpen = false
        handler.onClosed = nil
        handler.onEvent = nil
        handler.onWritable = nil
        control.close(promise: nil)
        output.close(promise: nil)
        error.close(promise: nil)
        egress?.close()
    }
}

/// Turns the control socket's bytes into events.
final class ShimChannelHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    var decoder = ShimFrameDecoder(maximumBodyLength: 4096)
    var onEvent: ((ShimEvent) -> Void)?
    var onClosed: ((WarmSandbox.Closing) -> Void)?
    var onWritable: (() -> Void)?
    private var closing = WarmSandbox.Closing.byTheSandbox

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .byTheSandbox = closing else { return }
        var bytes = unwrapInboundIn(data)
        do {
            try decoder.feed(&bytes) { onEvent?($0) }
        } catch {
            closing = error as? WireError == .tooLong ? .tooLong : .protocolFault
            context.close(promise: nil)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { onWritable?() }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) {
        let closed = onClosed
        onClosed = nil
        closed?(closing)
    }
}

/// Hands on what a pipe brings.
final class PipeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    var onRead: ((ByteBuffer) -> Void)?
    var onEnd: (() -> Void)?

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { onRead?(unwrapInboundIn(data)) }
    func channelInactive(context: ChannelHandlerContext) { onEnd?() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
