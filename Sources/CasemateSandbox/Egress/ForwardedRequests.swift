import CasemateVault
import NIOCore
import NIOHTTP1
import NIOSSL

/// HTTP that is read on its way, at port 80 or where a secret is put in: every request must be for the name that was dialled, and is written
/// anew, so that what was checked is what the world reads. At port 80 the responses pass as they are.
final class ForwardedRequests: ChannelInboundHandler, SpliceEnd {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = ByteBuffer

    private let connection: ForwardedConnection
    private let injection: Injection?
    private var context: ChannelHandlerContext?
    private var outside: (any Channel)?
    private var far: (any FarEnd)?
    private var isConnecting = false
    private var held: [HTTPServerRequestPart] = []
    private var heldBytes = 0
    private var body: RedactorStream
    private var hasEndedInput = false
    private var isEndingOutput = false
    /// Whatever still comes is for nobody.
    private var discards = false

    init(_ connection: ForwardedConnection, injection: Injection? = nil) {
        self.connection = connection
        self.injection = injection
        body = connection.rules.secrets.makeStream(tellsNothing: true)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        context.read()
        context.fireChannelActive()
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !discards, !connection.isOver else { return }
        var part = unwrapInboundIn(data)
        if case .head(var head) = part {
            guard !holdsSecret(head) else { return refuseSecret() }
            head.uri = Self.path(of: head.uri, at: connection.target)
            if let fault = Self.fault(of: head, for: connection.target) { return refuse(fault.0, fault.1) }
            head = Self.rewritten(head, for: connection.target)
            if let injection {
                // Its answer is written anew in chunks, or until the connection ends.
                guard head.version == .http1_1 else { return refuse(.badRequest, "a secret is put into requests of HTTP/1.1 only") }
                guard let completed = injection.completed(head) else {
                    return refuse(.badRequest, "the value of a secret that is put in here has a character that no header field can have")
                }
                head = completed
            }
            part = .head(head)
        } else if isInClear {
            guard let clean = checked(part) else { return refuseSecret() }
            // All of it waits for what follows; an empty chunk would end the body.
            if case .body(let bytes) = clean, bytes.readableBytes == 0 { return }
            part = clean
        }
        hold(part)
        connect(context)
    }

    /// Until the world is connected.
    private func hold(_ part: HTTPServerRequestPart) {
        guard outside == nil else { return pass(part) }
        held.append(part)
        // A part costs memory also when there is hardly anything in it.
        let overhead = if case .head = part { 1024 } else { 256 }
        heldBytes += Self.size(of: part) + overhead
        if heldBytes > Self.mostHeld { refuse(.badRequest, "too much was sent before the host was connected") }
    }

    private static let mostHeld = 1 << 19

    func channelReadComplete(context: ChannelHandlerContext) {
        outside?.flush()
        readMore(context)
        context.fireChannelReadComplete()
    }

    // MARK: Secrets in the clear

    private var isInClear: Bool { connection.target.port == 80 && !connection.rules.secrets.isEmpty }

    private func holdsSecret(_ head: HTTPRequestHead) -> Bool {
        guard isInClear else { return false }
        let secrets = connection.rules.secrets
        return secrets.contains(head.uri) || head.headers.contains { secrets.contains($0.name) || secrets.contains($0.value) }
    }

    /// What is certain to hold no secret; the rest comes with the next part. Nil where there is one.
    private func checked(_ part: HTTPServerRequestPart) -> HTTPServerRequestPart? {
        var passed: [UInt8] = []
        switch part {
        case .head: return part
        case .body(let bytes):
            bytes.withUnsafeReadableBytes { body.push($0.bindMemory(to: UInt8.self), into: &passed) }
            return body.hits > 0 ? nil : .body(ByteBuffer(bytes: passed))
        case .end(let trailers):
            if let trailers,
                trailers.contains(where: { connection.rules.secrets.contains($0.name) || connection.rules.secrets.contains($0.value) })
            {
                return nil
            }
            body.finish(into: &passed)
            guard body.hits == 0 else { return nil }
            if !passed.isEmpty { hold(.body(ByteBuffer(bytes: passed))) }
            return part
        }
    }

    private func refuseSecret() {
        refuse(
            .secretInClear,
            "the request holds the value of a secret, and port 80 has no TLS; use port 443, or let the platform put it in (deliver: inject)"
        )
    }

    private func readMore(_ context: ChannelHandlerContext) {
        guard !hasEndedInput, discards || far?.isWritable ?? (heldBytes < 1 << 16) else { return }
        context.read()
    }

    /// What is read before it.
    static func decoder() -> ByteToMessageHandler<HTTPRequestDecoder> {
        ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: limits), maximumBufferSize: 1 << 17)
    }

    /// Of a head. A decoder keeps those of requests that wait for their answers.
    private static var limits: NIOHTTPDecoderLimitConfiguration {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderListSize = 1 << 16
        limits.maxHeaderFieldSize = 1 << 16
        return limits
    }

    /// A target that names its host too (RFC 9112 §3.2.2), without it where that is the right one.
    static func path(of uri: String, at target: EgressTarget) -> String {
        let scheme = target.port == 80 ? "http" : "https"
        for prefix in target.authorities.map({ "\(scheme)://\($0)" }) where uri.utf8.count > prefix.utf8.count {
            let rest = uri.dropFirst(prefix.utf8.count)
            if uri.lowercased().hasPrefix(prefix), rest.hasPrefix("/") { return String(rest) }
        }
        return uri
    }

    /// What is wrong with a request, in words, or the other name that it is for; nil for nothing.
    static func fault(of head: HTTPRequestHead, for target: EgressTarget) -> (EgressRefusal, String)? {
        let hosts = head.headers["host"]
        guard hosts.count == 1 else { return (.badRequest, "a request must have one Host field") }
        // Letters of other scripts compare as equal to some of ASCII's.
        guard hosts[0].utf8.allSatisfy({ (33...126).contains($0) }) else { return (.badRequest, "a Host must be ASCII") }
        let asked = hosts[0].lowercased()
        guard target.authorities.contains(asked) else {
            return (.wrongName, asked.hasSuffix(":\(target.port)") ? String(asked.dropLast(target.port.description.count + 1)) : asked)
        }
        // Their bodies would be written without what tells where they end.
        let codings = head.headers["transfer-encoding"]
        guard codings.isEmpty || codings.count == 1 && codings[0].lowercased() == "chunked" && head.version == .http1_1,
            head.method != .TRACE, head.headers.allSatisfy({ $0.name.utf8.allSatisfy { $0 < 128 } })
        else { return (.badRequest, "a request's body must have a length, or come in chunks (RFC 9112 §6)") }
        guard head.method != .CONNECT, head.headers["upgrade"].isEmpty else {
            return (.badRequest, "a connection can't become another protocol's where its requests are read")
        }
        guard head.uri.hasPrefix("/") || head.uri == "*" else {
            return (.badRequest, "a request's target must be a path (RFC 9112 §3.2.1)")
        }
        return nil
    }

    /// With fields that the world reads as we did: the name that was checked, and one way to tell where the body ends.
    static func rewritten(_ head: HTTPRequestHead, for target: EgressTarget) -> HTTPRequestHead {
        var head = head
        head.headers.replaceOrAdd(name: "Host", value: target.authorities[0])
        if !head.headers["transfer-encoding"].isEmpty { head.headers.replaceOrAdd(name: "Transfer-Encoding", value: "chunked") }
        // Whatever else it names, a proxy on the way may take out: what frames the body, or a secret that was put in.
        let connection = Set(head.headers[canonicalForm: "connection"].map { $0.lowercased() }).intersection(["close", "keep-alive"])
        for name in ["Connection", "Proxy-Connection", "Keep-Alive"] { head.headers.remove(name: name) }
        if !connection.isEmpty { head.headers.add(name: "Connection", value: connection.sorted()[0]) }
        return head
    }

    private func refuse(_ reason: EgressRefusal, _ detail: String) {
        discards = true
        if reason == .wrongName { return connection.refuseName(detail, "the request is for") }
        connection.refuse(reason, detail)
    }

    private func pass(_ part: HTTPServerRequestPart) {
        connection.carried(out: Self.size(of: part))
        switch part {
        case .head(let head): outside?.write(HTTPClientRequestPart.head(head), promise: nil)
        case .body(let bytes): outside?.write(HTTPClientRequestPart.body(.byteBuffer(bytes)), promise: nil)
        case .end(let trailers): outside?.writeAndFlush(HTTPClientRequestPart.end(trailers), promise: nil)
        }
    }

    private static func size(of part: HTTPServerRequestPart) -> Int {
        switch part {
        case .head(let head): head.uri.utf8.count + head.headers.reduce(16) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
        case .body(let bytes): bytes.readableBytes
        case .end: 0
        }
    }

    private func connect(_ context: ChannelHandlerContext) {
        guard !isConnecting else { return }
        isConnecting = true
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        connection.connect(mayEndFirst: injection == nil).whenSuccess { bound.value.connected($0) }
    }

    private func connected(_ channel: any Channel) {
        guard let context, context.channel.isActive, !connection.isOver else { return channel.close(promise: nil) }
        // What was checked is written as it is: nothing is taken out, or added, that tells where a body ends.
        var configuration = HTTPRequestEncoder.Configuration()
        configuration.automaticallySetFramingHeaders = false
        let encoder = HTTPRequestEncoder(configuration: configuration)
        let isTLS = injection != nil && connection.target.port != 80
        let far: any FarEnd
        do {
            if let injection {
                let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
                let responses = InjectedResponses(connection, redactor: injection.redactor) { bound.value.begin(channel) }
                let decoder = HTTPResponseDecoder(
                    leftOverBytesStrategy: .dropBytes, informationalResponseStrategy: .forward, limitConfiguration: Self.limits)
                if isTLS {
                    let tls = try NIOSSLClientHandler(context: connection.authorities.get(), serverHostname: connection.target.name)
                    try channel.pipeline.syncOperations.addHandler(tls)
                }
                try channel.pipeline.syncOperations.addHandlers([
                    encoder, ByteToMessageHandler(decoder, maximumBufferSize: 1 << 17), responses,
                ])
                far = responses
            } else {
                let splice = Splice(connection, isInside: false)
                try channel.pipeline.syncOperations.addHandlers([splice, encoder])
                far = splice
            }
        } catch {
            channel.close(promise: nil)
            return connection.refuse(.badCertificate, "the server's own list of certificate authorities can't be read")
        }
        far.join(self)
        self.far = far
        channel.setOption(.autoRead, value: true).whenSuccess { channel.read() }
        if !isTLS { begin(channel) }
    }

    /// The world is there, and is who it should be.
    private func begin(_ channel: any Channel) {
        guard let context, !connection.isOver else { return channel.close(promise: nil) }
        outside = channel
        connection.opened()
        for part in held { pass(part) }
        held = []
        channel.flush()
        if hasEndedInput { far?.endOutput() } else { readMore(context) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            hasEndedInput = true
            if outside != nil { far?.endOutput() } else if !isConnecting { context.close(promise: nil) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        far?.otherClosed()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is HTTPParserError { return refuse(.badRequest, "what was sent is no HTTP request") }
        context.close(promise: nil)
    }

    // MARK: Responses

    var isWritable: Bool { context?.channel.isWritable ?? true }

    func send(_ bytes: ByteBuffer) { context?.writeAndFlush(wrapOutboundOut(bytes), promise: nil) }

    func otherBecameWritable() { if let context { readMore(context) } }

    func otherEndedInput() { endOutput() }

    func otherClosed() {
        outside = nil
        discards = true
        endOutput()
    }

    private func endOutput() {
        guard !isEndingOutput, let context else { return }
        isEndingOutput = true
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in
            channel.close(mode: .output, promise: nil)
            let timer = channel.eventLoop.scheduleTask(in: .seconds(2)) { channel.close(promise: nil) }
            channel.closeFuture.whenComplete { _ in timer.cancel() }
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { far?.otherBecameWritable() }
        context.fireChannelWritabilityChanged()
    }
}
