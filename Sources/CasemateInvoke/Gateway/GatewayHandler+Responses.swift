import Glibc
import NIOCore
import NIOHTTP1

extension GatewayHandler {
    func answer(_ reply: RedactedReply) {
        let notes = current?.notes
        switch state {
        case .running(let asked):
            state = .idle
            current = nil
            write(reply, for: asked, closing: false, notes: notes)
            takeEarly()
        case .streaming(let asked, _):
            // The rest of the body has no place to go.
            current = nil
            write(reply, for: asked, closing: true, notes: notes)
        default: return
        }
    }

    func begin(_ stream: RedactedStream) {
        guard case .running(let asked) = state else { return }
        let notes = current?.notes
        send(closing: false) { out in
            beginHead(stream.reply, version: asked.version, notes: notes, into: &out)
            // Redaction changes the length: chunked, or for HTTP/1.0 ended by closing.
            if asked.version.canChunk {
                ResponseBytes.writeField("transfer-encoding", "chunked", into: &out)
            } else {
                ResponseBytes.writeField("connection", "close", into: &out)
            }
            ResponseBytes.endHead(into: &out)
        }
    }

    func part(_ bytes: ByteBuffer) {
        guard case .running(let asked) = state, !asked.isHead, bytes.readableBytes > 0 else { return }
        guard asked.version.canChunk else { return send(bytes, closing: false) }
        send(closing: false) { ResponseBytes.writeChunk(bytes, into: &$0) }
    }

    func finish() {
        guard case .running(let asked) = state else { return }
        state = .idle
        current = nil
        send(closing: !asked.version.canChunk || !asked.keepsAlive) { out in
            if asked.version.canChunk, !asked.isHead { ResponseBytes.writeLastChunk(into: &out) }
        }
        takeEarly()
    }

    func abort() {
        if case .running(let asked) = state, !asked.version.canChunk {
            // Closing is how a response of HTTP/1.0 ends: this one is reset.
            _ = (context?.channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
        }
        state = .closing
        current = nil
        context?.close(promise: nil)
    }

    /// - Parameter asked: nil for an answer to what is no request.
    func write(_ reply: RedactedReply, for asked: Asked?, closing: Bool, notes: CallNotes? = nil) {
        let closes = closing || asked?.keepsAlive != true || pipeline.isStopping
        let hasBody = reply.status.mayHaveResponseBody
        send(closing: closes) { out in
            beginHead(reply, version: asked?.version ?? .http1_1, notes: notes, into: &out)
            if hasBody { ResponseBytes.writeField("content-length", String(reply.body.readableBytes), into: &out) }
            if closes {
                ResponseBytes.writeField("connection", "close", into: &out)
            } else if asked?.version == .http1_0 {
                ResponseBytes.writeField("connection", "keep-alive", into: &out)
            }
            ResponseBytes.endHead(into: &out)
            if hasBody, asked?.isHead != true { out.writeImmutableBuffer(reply.body) }
        }
    }

    func sendContinue(_ asked: Asked) {
        send(closing: false) { out in
            ResponseBytes.beginHead(.continue, [:], version: asked.version, into: &out)
            ResponseBytes.endHead(into: &out)
        }
    }

    private func beginHead(_ reply: RedactedReply, version: HTTPVersion, notes: CallNotes?, into out: inout ByteBuffer) {
        ResponseBytes.beginHead(reply.status, reply.headers, version: version, into: &out)
        if settings.isTLS { ResponseBytes.writeField("strict-transport-security", "max-age=31536000", into: &out) }
        if !reply.headers.contains(name: "x-content-type-options") {
            ResponseBytes.writeField("x-content-type-options", "nosniff", into: &out)
        }
        if let revision = notes?.revision { ResponseBytes.writeField("casemate-revision", String(revision), into: &out) }
        if let timing = notes?.timing { ResponseBytes.writeField("server-timing", timing, into: &out) }
    }

    private func send(closing: Bool, _ write: (inout ByteBuffer) -> Void) {
        guard let context else { return }
        var out = context.channel.allocator.buffer(capacity: 512)
        write(&out)
        send(out, closing: closing)
    }

    func send(_ bytes: ByteBuffer, closing: Bool) {
        since = .now()
        guard let context else { return }
        if closing {
            state = .closing
            dropEarly()
            let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
            context.writeAndFlush(wrapOutboundOut(bytes)).whenComplete { _ in bound.value.endOutput() }
        } else if bytes.readableBytes > 0 {
            context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
        }
    }
}

extension GatewayHandler {
    /// The response's end. What the caller still sends is read and thrown away until it closes: unread, it would make the kernel reset
    /// the connection, and take from the caller what it has not read of the response (RFC 9112 §9.6).
    private func endOutput() {
        guard let context else { return }
        since = .now()
        adjustReading()
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.close(mode: .output).whenFailure { _ in bound.value.close(promise: nil) }
    }
}

extension HTTPVersion {
    /// HTTP/1.0 knows no chunks.
    fileprivate var canChunk: Bool { major == 1 && minor >= 1 }
}
