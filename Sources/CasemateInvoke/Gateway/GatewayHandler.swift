import CasemateIdentity
import CasemateModel
import NIOCore
import NIOHTTP1

/// One connection of the gateway: requests in, responses out, one at a time.
final class GatewayHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private enum State {
        case idle
        /// Authorized; the body comes in.
        case receiving(RoutedCall, HTTPRequestHead, ByteBuffer?)
        /// The call runs, and the rest of its body comes in.
        case streaming(HTTPRequestHead, RequestBody)
        /// The call runs.
        case running(HTTPRequestHead)
        /// Refused before the body came; the rest is read and thrown away.
        case refused
    }

    private let settings: GatewaySettings
    private let pipeline: InvokePipeline
    private var state = State.idle
    private var context: ChannelHandlerContext?
    private var current: CallConnection?
    private var discarded = 0
    private var remoteAddress: String?
    /// When the connection began to wait for what it waits for now.
    private var since = NIODeadline.now()
    private var hasServed = false
    private var watch: RepeatedTask?

    /// A head must be here by then; a body, and the next request on a kept connection, later.
    private static let headLimit = TimeAmount.seconds(10)
    private static let patience = TimeAmount.seconds(60)
    /// Between two parts of a body that an instance waits for.
    private static let streamPatience = TimeAmount.seconds(10)

    init(settings: GatewaySettings, pipeline: InvokePipeline) {
        self.settings = settings
        self.pipeline = pipeline
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        // One timer a connection, none a request: slow senders are let go within a second or two of their limit.
        watch = context.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(2), delay: .seconds(2)) { _ in bound.value.letGoIfSlow() }
    }

    private func letGoIfSlow() {
        let waited = NIODeadline.now() - since
        switch state {
        case .running: return
        case .idle where !hasServed: if waited > Self.headLimit { context?.close(promise: nil) }
        case .idle, .refused: if waited > Self.patience { context?.close(promise: nil) }
        case .receiving(let routed, let head, _):
            guard waited > Self.patience else { return }
            refuse(Problem(.requestTimeout, "the request's body did not arrive in time"), routed.call.id, head)
        case .streaming(_, let body): if waited > Self.streamPatience { body.abort() }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        // Nothing is written from here on: NIO may have answered the broken request itself.
        self.context = nil
        current = nil
        watch?.cancel()
        if case .streaming(_, let body) = state { body.abort() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelWritabilityChanged(context: ChannelHandlerContext) { current?.onWritable?(context.channel.isWritable) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): begin(head, context)
        case .body(var bytes):
            switch state {
            case .receiving(let routed, let head, var body):
                // Moved out while it grows, so that the buffer is not copied.
                state = .idle
                if body == nil { body = bytes } else { body?.writeBuffer(&bytes) }
                if (body?.readableBytes ?? 0) > settings.maximumRequestBody {
                    refuse(Problem(.tooLarge, "a request's body is at most \(settings.maximumRequestBody) bytes"), routed.call.id, head)
                } else if let start = body, start.readableBytes >= RequestBody.streamedFrom, let length = Self.length(head),
                    routed.spec.limits.concurrency == nil
                {
                    // Where calls share an instance, one that never comes to its end must not take the others with it.
                    stream(routed, head, start, length)
                } else {
                    state = .receiving(routed, head, body)
                }
            case .streaming(let head, let body):
                since = .now()
                body.push(bytes)
                if body.isComplete { state = .running(head) }
            case .refused:
                discarded += bytes.readableBytes
                if discarded > settings.maximumRequestBody { context.close(promise: nil) }
            default: break
            }
        case .end:
            switch state {
            case .receiving(let routed, let head, let body):
                state = .running(head)
                let connection = CallConnection(handler: self)
                current = connection
                pipeline.run(routed, body: RequestBody(whole: body), responder: connection)
            case .refused: state = .idle
            default: break
            }
        }
    }

    private func stream(_ routed: RoutedCall, _ head: HTTPRequestHead, _ start: ByteBuffer, _ length: Int) {
        guard let channel = context?.channel else { return }
        let body = RequestBody(start: start, length: length) { reads in
            _ = channel.setOption(.autoRead, value: reads)
            if reads { channel.read() }
        }
        state = .streaming(head, body)
        let connection = CallConnection(handler: self)
        current = connection
        pipeline.run(routed, body: body, responder: connection)
    }

    /// Nil for a chunked body, whose length is known only at its end.
    private static func length(_ head: HTTPRequestHead) -> Int? { head.headers.first(name: "content-length").flatMap { Int($0) } }

    /// The peer's address, made once a connection.
    private func remote(_ context: ChannelHandlerContext) -> String {
        if let known = remoteAddress { return known }
        let address = context.remoteAddress?.ipAddress ?? ""
        remoteAddress = address
        return address
    }

    // MARK: Requests

    private func begin(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let id = pipeline.newCallId()
        discarded = 0
        since = .now()
        hasServed = true
        do throws(Problem) {
            let call = try incoming(head, id: id, context)
            if head.method == .OPTIONS, call.target.isEmpty { throw Problem(.notFound, "there is no such function") }
            let routed = try pipeline.receive(call)
            if let length = Self.length(head), length > settings.maximumRequestBody {
                throw Problem(.tooLarge, "a request's body is at most \(settings.maximumRequestBody) bytes")
            }
            if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
                context.writeAndFlush(wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil)
            }
            state = .receiving(routed, head, nil)
        } catch {
            refuse(error, id, head)
        }
    }

    private func incoming(_ head: HTTPRequestHead, id: CallId, _ context: ChannelHandlerContext) throws(Problem) -> IncomingCall {
        guard head.uri.utf8.count <= 16_384 else { throw Problem(.uriTooLong, "a request's target is at most 16384 bytes") }
        guard head.headers.count <= 256, head.headers.reduce(0, { $0 + $1.name.utf8.count + $1.value.utf8.count }) <= 65_536 else {
            throw Problem(.headersTooLarge, "a request has at most 256 header fields and 65536 bytes of them")
        }
        // Only origin form: neither an absolute target nor Host decides where a call goes.
        var path = head.uri[...]
        var query: Substring = ""
        if let mark = path.firstIndex(of: "?") {
            query = path[path.index(after: mark)...]
            path = path[..<mark]
        }
        var target: Substring = ""
        var rest: Substring = "/"
        if path.hasPrefix("/f/") {
            let inner = path.dropFirst(3)
            if let first = inner.firstIndex(of: "/") {
                let second = inner[inner.index(after: first)...].firstIndex(of: "/") ?? inner.endIndex
                target = inner[..<second]
                if second < inner.endIndex { rest = inner[second...] }
            }
        }
        let forwarded = ForwardedHeaders(
            remote: remote(context), isTLS: settings.isTLS, trusted: settings.trustedProxies, call: id)
        return IncomingCall(
            id: id, method: head.method, target: target, path: rest, query: query, headers: forwarded.rebuilt(head.headers),
            credential: PresentedCredential(head.headers), received: since,
            wantsTiming: !head.headers[canonicalForm: "casemate-timing"].isEmpty)
    }

    private func refuse(_ problem: Problem, _ id: CallId, _ head: HTTPRequestHead) {
        state = .refused
        if problem.code == .tooLarge || problem.code == .requestTimeout { pipeline.refused(problem) }
        write(Redact.refusal(problem, of: id), for: head, closing: problem.code == .tooLarge || problem.code == .requestTimeout)
    }

    // MARK: Responses

    fileprivate func answer(_ reply: RedactedReply) {
        let timing = current?.serverTiming
        switch state {
        case .running(let head):
            state = .idle
            current = nil
            write(reply, for: head, closing: false, timing: timing)
        case .streaming(let head, _):
            // The rest of the body has no place to go.
            state = .refused
            current = nil
            write(reply, for: head, closing: true, timing: timing)
        default: return
        }
    }

    private func write(_ reply: RedactedReply, for request: HTTPRequestHead, closing: Bool, timing: String? = nil) {
        guard let context else { return }
        var head = HTTPResponseHead(version: request.version, status: reply.status, headers: reply.headers)
        decorate(&head)
        if let timing { head.headers.add(name: "server-timing", value: timing) }
        let closes = closing || !request.isKeepAlive
        if reply.status.mayHaveResponseBody { head.headers.add(name: "content-length", value: "\(reply.body.readableBytes)") }
        if closes { head.headers.add(name: "connection", value: "close") }
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if reply.body.readableBytes > 0, request.method != .HEAD, reply.status.mayHaveResponseBody {
            context.write(wrapOutboundOut(.body(.byteBuffer(reply.body))), promise: nil)
        }
        end(closing: closes)
    }

    private func decorate(_ head: inout HTTPResponseHead) {
        if settings.isTLS { head.headers.add(name: "strict-transport-security", value: "max-age=31536000") }
        if head.headers["x-content-type-options"].isEmpty { head.headers.add(name: "x-content-type-options", value: "nosniff") }
    }

    private func end(closing: Bool) {
        since = .now()
        guard let context else { return }
        if closing {
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in bound.value.close(promise: nil) }
        } else {
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }

    fileprivate func begin(_ stream: RedactedStream) {
        guard case .running(let request) = state, let context else { return }
        var head = HTTPResponseHead(version: request.version, status: stream.reply.status, headers: stream.reply.headers)
        decorate(&head)
        if let timing = current?.serverTiming { head.headers.add(name: "server-timing", value: timing) }
        // Redaction changes the length: chunked, or for HTTP/1.0 ended by closing.
        if request.version.canChunk {
            head.headers.add(name: "transfer-encoding", value: "chunked")
        } else {
            head.headers.add(name: "connection", value: "close")
        }
        context.write(wrapOutboundOut(.head(head)), promise: nil)
    }

    fileprivate func part(_ bytes: ByteBuffer) {
        guard case .running(let request) = state, request.method != .HEAD, let context else { return }
        context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(bytes))), promise: nil)
    }

    fileprivate func finish() {
        guard case .running(let request) = state else { return }
        state = .idle
        current = nil
        end(closing: !request.version.canChunk || !request.isKeepAlive)
    }

    fileprivate func abort() {
        state = .idle
        current = nil
        context?.close(promise: nil)
    }
}

/// What the pipeline holds of a connection: it may outlive it.
private final class CallConnection: CallResponder {
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

extension PresentedCredential {
    /// `X-Auth-Token`, or `Authorization: Bearer`. Both, if they agree.
    init(_ headers: HTTPHeaders) {
        var shown = headers["x-auth-token"]
        for value in headers["authorization"] {
            let parts = value.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "bearer" else {
                self = .malformed
                return
            }
            shown.append(parts[1].trimmingSpaces)
        }
        guard let first = shown.first else {
            self = .none
            return
        }
        guard shown.allSatisfy({ $0 == first }), let credential = Credential(first) else {
            self = .malformed
            return
        }
        self = .one(credential, inBearer: headers["x-auth-token"].isEmpty)
    }
}

extension Substring {
    fileprivate var trimmingSpaces: String {
        var text = self
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}

extension HTTPVersion {
    /// HTTP/1.0 knows no chunks.
    fileprivate var canChunk: Bool { major == 1 && minor >= 1 }
}
