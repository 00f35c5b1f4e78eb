import CasemateIdentity
import CasemateModel
import NIOCore
import NIOHTTP1

/// One connection of the gateway: requests in, responses out, one at a time.
///
/// A request that comes before its predecessor is answered waits here, and the connection is not read meanwhile. (NIO's own handler for
/// that turns reading off and on with every request, which costs each call two system calls.)
final class GatewayHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = ByteBuffer

    /// What of a request matters for its response.
    struct Asked {
        let version: HTTPVersion
        let keepsAlive: Bool
        let isHead: Bool
        /// Nil for a chunked body, whose length is known only at its end.
        let length: Int?

        init(_ head: HTTPRequestHead) {
            version = head.version
            // NIO decodes nothing that follows what could be an upgrade.
            keepsAlive = head.isKeepAlive && head.method != .CONNECT && !head.headers.contains(name: "upgrade")
            isHead = head.method == .HEAD
            length = head.headers.first(name: "content-length").flatMap { Int($0) }
        }
    }

    enum State {
        case idle
        /// What the next call's token was signed with is being fetched; the call waits among the early ones.
        case preparing
        /// Authorized; the body comes in.
        case receiving(RoutedCall, Asked, ByteBuffer?)
        /// The call runs, and the rest of its body comes in.
        case streaming(Asked, RequestBody)
        /// The call runs.
        case running(Asked)
        /// Refused before the body came; the rest is read and thrown away.
        case refused
        /// The last response is on its way; whatever comes is ignored.
        case closing
    }

    let settings: GatewaySettings
    let pipeline: InvokePipeline
    /// Where the connection comes out of a function's sandbox.
    private let link: FunctionLink?
    var state = State.idle
    var context: ChannelHandlerContext?
    var current: CallConnection?
    private var early = CircularBuffer<HTTPServerRequestPart>()
    private var isTakingEarly = false
    /// The next head has waited for keys already: it does so once.
    private var isPrepared = false
    /// What follows the last early request is not HTTP.
    private var isBroken = false
    private var bodyFlows = true
    private var isReading = true
    private var discarded = 0
    private var peer: CallPeer?
    /// When the connection began to wait for what it waits for now.
    var since = NIODeadline.now()
    /// What the caller had not taken at the last look.
    private var unsent = 0
    private var hasServed = false
    private var watch: RepeatedTask?

    /// A head must be here by then; a body, and the next request on a kept connection, later.
    private static let headLimit = TimeAmount.seconds(10)
    private static let patience = TimeAmount.seconds(60)
    /// Between two parts of a body that an instance waits for.
    private static let streamPatience = TimeAmount.seconds(10)
    private static let betweenLooks = TimeAmount.seconds(2)
    /// A caller that takes this much of its answer from look to look is not a slow one.
    private static let leastTaken = 2048

    init(settings: GatewaySettings, pipeline: InvokePipeline, link: FunctionLink? = nil) {
        self.settings = settings
        self.pipeline = pipeline
        self.link = link
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        pipeline.silent += 1
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        // One timer a connection, none a request: slow senders are let go within a second or two of their limit.
        watch = context.eventLoop.scheduleRepeatedTask(initialDelay: Self.betweenLooks, delay: Self.betweenLooks) { _ in
            bound.value.letGoIfSlow()
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        watch?.cancel()
        if !hasServed { pipeline.silent -= 1 }
        self.context = nil
    }

    private func letGoIfSlow() {
        let unsentNow = (try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        if unsent - unsentNow >= Self.leastTaken { since = .now() }
        unsent = unsentNow
        let waited = NIODeadline.now() - since
        switch state {
        case .running: return
        case .preparing: if waited > Self.patience { context?.close(promise: nil) }
        case .idle where !hasServed: if waited > Self.headLimit { context?.close(promise: nil) }
        case .closing where unsent == 0: if waited > Self.headLimit { context?.close(promise: nil) }
        case .idle where pipeline.isStopping && hasServed: context?.close(promise: nil)
        case .idle, .refused, .closing: if waited > Self.patience { context?.close(promise: nil) }
        case .receiving(let routed, let asked, _):
            guard waited > Self.patience else { return }
            refuse(Problem(.requestTimeout, "the request's body did not arrive in time"), routed.call.id, asked)
        // Not while it is us who do not read.
        case .streaming(_, let body): if bodyFlows, waited > Self.streamPatience { body.abort() }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        // Nothing is written from here on, and nothing begun. An instance that waits for its caller to read need not.
        self.context = nil
        current?.onWritable?(true)
        current?.inquiry?.cancel()
        current = nil
        early.removeAll()
        watch?.cancel()
        let last = state
        state = .closing
        if case .streaming(_, let body) = last { body.abort() }
    }

    /// The caller's bytes are not HTTP, or the connection is broken.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is HTTPParserError else {
            // What still comes behind it is no news.
            if isBroken, case .dataReceivedInErrorState? = error as? ByteToMessageDecoderError { return }
            return context.close(promise: nil)
        }
        guard !isBroken else { return }
        isBroken = true
        adjustReading()
        if early.isEmpty { refuseBroken() }
    }

    /// The requests before it are answered first.
    private func refuseBroken() {
        switch state {
        case .running, .preparing: return
        case .idle, .receiving:
            let problem = Problem(.invalidRequest, "this is not a valid HTTP/1.1 request")
            pipeline.refused(problem)
            write(Redact.refusal(problem, of: pipeline.newCallId()), for: nil, closing: true)
        case .refused: send(ByteBuffer(), closing: true)
        case .streaming: context?.close(promise: nil)
        case .closing: return
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        current?.onWritable?(context.channel.isWritable)
        takeEarly()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        if early.isEmpty, !waits(part) { return take(part, context) }
        early.append(part)
        adjustReading()
    }

    /// Whether this is the beginning of a request whose predecessor is not answered yet, or whose answer its caller does not take.
    private func waits(_ part: HTTPServerRequestPart) -> Bool {
        if case .preparing = state { return true }
        guard case .head = part else { return false }
        switch state {
        case .running, .streaming, .preparing: return true
        case .idle, .receiving, .refused: return context?.channel.isWritable == false
        case .closing: return false
        }
    }

    /// A response is complete: on with what came early.
    func takeEarly() {
        guard !isTakingEarly, !early.isEmpty || isBroken else { return }
        isTakingEarly = true
        while let context, let part = early.first, !waits(part) {
            early.removeFirst()
            take(part, context)
        }
        isTakingEarly = false
        if isBroken, early.isEmpty { refuseBroken() }
        adjustReading()
    }

    func dropEarly() { early.removeAll() }

    func adjustReading() {
        var reads = bodyFlows && early.isEmpty && !isBroken
        if case .closing = state { reads = true }
        guard reads != isReading, let context else { return }
        isReading = reads
        try? context.channel.syncOptions?.setOption(.autoRead, value: reads)
    }

    private func take(_ part: HTTPServerRequestPart, _ context: ChannelHandlerContext) {
        switch part {
        case .head(let head):
            if case .closing = state { return }
            begin(head, context)
        case .body(let bytes): take(bytes, context)
        case .end:
            switch state {
            case .receiving(let routed, let asked, let body): run(routed, RequestBody(whole: body), .running(asked))
            case .refused: state = .idle
            default: break
            }
        }
    }

    private func take(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        switch state {
        case .receiving(let routed, let asked, var body):
            // Moved out while it grows, so that the buffer is not copied.
            state = .idle
            if body == nil { body = bytes } else { body?.writeImmutableBuffer(bytes) }
            if (body?.readableBytes ?? 0) > settings.maximumRequestBody {
                refuse(tooLarge, routed.call.id, asked)
            } else if let start = body, start.readableBytes >= RequestBody.streamedFrom, let length = asked.length,
                start.readableBytes < length, routed.mayStream
            {
                let rest = RequestBody(start: start, length: length) { [weak self] flows in
                    self?.bodyFlows = flows
                    if flows { self?.since = .now() }
                    self?.adjustReading()
                }
                run(routed, rest, .streaming(asked, rest))
            } else {
                state = .receiving(routed, asked, body)
            }
        case .streaming(let asked, let body):
            since = .now()
            body.push(bytes)
            // It may have been answered meanwhile.
            if body.isComplete, case .streaming = state { state = .running(asked) }
        case .refused, .closing:
            discarded += bytes.readableBytes
            if discarded > settings.maximumRequestBody { context.close(promise: nil) }
        default: break
        }
    }

    private func run(_ routed: RoutedCall, _ body: RequestBody, _ state: State) {
        self.state = state
        let connection = CallConnection(handler: self)
        current = connection
        pipeline.run(routed, body: body, responder: connection)
    }

    private var tooLarge: Problem { Problem(.tooLarge, "a request's body is at most \(settings.maximumRequestBody) bytes") }

    private func begin(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let id = pipeline.newCallId()
        let asked = Asked(head)
        discarded = 0
        bodyFlows = true
        since = .now()
        if !hasServed { pipeline.silent -= 1 }
        hasServed = true
        do throws(Problem) {
            let call = try IncomingCall(head, id: id, peer: peer(context), received: since, settings: settings, link: link)
            if head.method == .OPTIONS, call.target.isEmpty { throw Problem(.notFound, "there is no such function") }
            if !isPrepared, let ready = pipeline.prepare(call) { return wait(ready, before: head, context) }
            isPrepared = false
            if link == nil, call.target.isEmpty, let inquiry = try CallInquiry(head.uri) { return try ask(inquiry, call, asked) }
            let routed = try pipeline.receive(call)
            if let length = asked.length, length > settings.maximumRequestBody { throw tooLarge }
            if head.headers.first(name: "expect")?.lowercased() == "100-continue", asked.version == .http1_1 { sendContinue(asked) }
            state = .receiving(routed, asked, nil)
        } catch {
            refuse(error, id, asked)
        }
    }

    /// - Throws: as `InvokePipeline.look`.
    private func ask(_ inquiry: CallInquiry, _ call: IncomingCall, _ asked: Asked) throws(Problem) {
        guard call.method == .GET || call.method == .HEAD else {
            throw Problem(.methodNotAllowed, "a call's status is asked for by GET")
        }
        let connection = CallConnection(handler: self)
        connection.inquiry = try pipeline.look(inquiry, call, connection)
        state = .running(asked)
        current = connection
    }

    /// Made once a connection.
    private func peer(_ context: ChannelHandlerContext) -> CallPeer {
        if let peer { return peer }
        let made = CallPeer(address: link == nil ? context.remoteAddress?.ipAddress ?? "" : "unknown")
        peer = made
        return made
    }

    /// The head is taken once more when `ready` is.
    private func wait(_ ready: EventLoopFuture<Void>, before head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        state = .preparing
        early.prepend(.head(head))
        adjustReading()
        ready.assumeIsolated().whenComplete { [self] _ in
            guard case .preparing = state else { return }
            state = .idle
            isPrepared = true
            takeEarly()
        }
    }

    private func refuse(_ problem: Problem, _ id: CallId, _ asked: Asked) {
        let closes = problem.code == .tooLarge || problem.code == .requestTimeout
        if closes { pipeline.refused(problem) }
        state = .refused
        write(Redact.refusal(problem, of: id), for: asked, closing: closes)
    }
}
