import CasemateModel
import CasemateVault
import NIOCore
import NIOHTTP1
import NIOSSL
import NIOTLS
import SwiftASN1
import X509

/// What a host answers to requests that a secret was put into: written anew, without the secret.
///
/// A body whose length is known and short is held until it is whole, so that it keeps a length; a longer one goes on in chunks.
final class InjectedResponses: ChannelDuplexHandler, FarEnd {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundIn = HTTPClientRequestPart
    typealias OutboundOut = HTTPClientRequestPart

    private enum Body {
        case none
        /// Until all of it is there.
        case held(HTTPResponseHead, ByteBuffer)
        case chunked
    }

    private let connection: ForwardedConnection
    private let redactor: Redactor
    private var context: ChannelHandlerContext?
    private weak var partner: (any SpliceEnd)?
    private var wantsRead = false
    /// Of the requests that have no answer yet.
    private var methods: [HTTPMethod] = []
    private var body = Body.none
    private var stream: RedactorStream
    private var isEnding = false
    /// Whether the host has shown who it is, where TLS asks for that.
    private var isVerified: Bool
    private let verified: () -> Void

    private static let longestHeld = 1 << 18
    /// From so many on no more requests are read.
    private static let manyUnanswered = 16
    /// More than come in one go while they are not.
    private static let mostUnanswered = 1024

    /// - Parameter verified: called when the host has shown who it is; nothing may be sent before.
    init(_ connection: ForwardedConnection, redactor: Redactor, verified: @escaping () -> Void) {
        self.verified = verified
        self.connection = connection
        self.redactor = redactor
        stream = redactor.makeStream(tellsNothing: true)
        isVerified = connection.target.port == 80
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    // MARK: Requests

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .head(let head) = unwrapOutboundIn(data) {
            methods.append(head.method)
            if methods.count > Self.mostUnanswered { connection.refuse(.badRequest, "too many requests wait for an answer") }
        }
        context.write(data, promise: promise)
    }

    // MARK: Responses

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard partner != nil, !connection.isOver else { return }
        switch unwrapInboundIn(data) {
        case .head(let head): begin(head)
        case .body(let bytes): take(bytes)
        case .end: end()
        }
    }

    private func begin(_ head: HTTPResponseHead) {
        connection.carried(in: head.headers.reduce(32) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 })
        let code = head.status.code
        guard code != 101 else { return refuse("it becomes another protocol, which nobody asked for") }
        var head = HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: Int(code)), headers: cleaned(head.headers))
        // An early answer says nothing about a body, and another one follows.
        if (100..<200).contains(code) {
            dropFraming(&head)
            return send(head)
        }
        guard let method = methods.first else { return refuse("it answers what was not asked") }
        methods.removeFirst()
        if methods.count == Self.manyUnanswered - 1 { partner?.otherBecameWritable() }
        guard method != .HEAD, code != 204, code != 304 else {
            body = .none
            return send(head)
        }
        let codings = head.headers[canonicalForm: "content-encoding"].filter { !$0.isEmpty && $0.lowercased() != "identity" }
        guard codings.isEmpty else { return refuse("its body is encoded, and can't be searched for the secret") }
        // Of these, and no others, the decoder takes out what frames the body.
        let transfer = head.headers["transfer-encoding"]
        guard transfer.isEmpty || transfer.count == 1 && transfer[0].lowercased() == "chunked" else {
            return refuse("its body is sent in a way that can't be read")
        }
        let length = head.headers.first(name: "content-length").flatMap { Int($0) }
        dropFraming(&head)
        if let length, length <= Self.longestHeld {
            body = .held(head, ByteBuffer())
        } else {
            head.headers.add(name: "Transfer-Encoding", value: "chunked")
            body = .chunked
            send(head)
        }
    }

    private func take(_ bytes: ByteBuffer) {
        var bytes = bytes
        connection.carried(in: bytes.readableBytes)
        switch body {
        case .none: break
        case .held(let head, var held):
            body = .none
            held.writeBuffer(&bytes)
            body = .held(head, held)
        case .chunked:
            var clean: [UInt8] = []
            bytes.withUnsafeReadableBytes { stream.push($0.bindMemory(to: UInt8.self), into: &clean) }
            sendChunk(clean)
        }
    }

    private func end() {
        defer {
            body = .none
            if isEnding, methods.isEmpty { context?.close(promise: nil) }
        }
        switch body {
        case .none: break
        case .held(var head, let held):
            let clean = held.withUnsafeReadableBytes { redactor.redact($0.bindMemory(to: UInt8.self)) }
            let bytes = clean.map { ByteBuffer(bytes: $0.bytes) } ?? held
            head.headers.add(name: "Content-Length", value: "\(bytes.readableBytes)")
            send(head)
            partner?.send(bytes)
        case .chunked:
            var clean: [UInt8] = []
            stream.finish(into: &clean)
            sendChunk(clean)
            // Trailers are not handed on.
            partner?.send(ByteBuffer(string: "0\r\n\r\n"))
        }
    }

    /// Without values, and without what the sandbox's own connection says otherwise. A value in a name is not handed on at all.
    private func cleaned(_ headers: HTTPHeaders) -> HTTPHeaders {
        var out = HTTPHeaders()
        out.reserveCapacity(headers.count)
        for (name, value) in headers where !redactor.contains(name) {
            out.add(name: name, value: redactor.redact(value).map { String(decoding: $0.bytes, as: UTF8.self) } ?? value)
        }
        for name in Self.notHandedOn { out.remove(name: name) }
        return out
    }

    /// About the connection to the host, or sums of a body in which nothing was replaced, by which a value could be guessed.
    private static let notHandedOn = [
        "Trailer", "Upgrade", "Keep-Alive", "Alt-Svc", "Accept-Ranges", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest",
    ]

    private func dropFraming(_ head: inout HTTPResponseHead) {
        for name in ["Content-Length", "Transfer-Encoding", "Content-Encoding"] { head.headers.remove(name: name) }
    }

    // MARK: To the sandbox

    private func send(_ head: HTTPResponseHead) {
        var text = "HTTP/1.1 \(head.status.code) \(head.status.reasonPhrase)\r\n"
        for (name, value) in head.headers { text += "\(name): \(value)\r\n" }
        text += "\r\n"
        partner?.send(ByteBuffer(string: text))
    }

    private func sendChunk(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        var buffer = ByteBuffer(string: String(bytes.count, radix: 16) + "\r\n")
        buffer.writeBytes(bytes)
        buffer.writeString("\r\n")
        partner?.send(buffer)
    }

    private func refuse(_ detail: String) {
        partner = nil
        connection.refuse(.badResponse, "the answer is not handed on: \(detail)")
        context?.close(promise: nil)
    }

    // MARK: The world's channel

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted = event as? TLSUserEvent {
            if isForTheName(context) {
                isVerified = true
                verified()
            } else {
                refuseCertificate(context)
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        partner?.otherClosed()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if !isVerified {
            if Self.isAboutCertificate(error) {
                return refuseCertificate(context)
            } else {
                connection.refuse(.unreachable, "TLS could not be agreed on with the host")
            }
        } else if error is HTTPParserError {
            refuse("it is no HTTP that can be read")
        } else if !isIdle {
            // A body that was cut off must not look like a whole one.
            connection.reset()
        }
        context.close(promise: nil)
    }

    private func refuseCertificate(_ context: ChannelHandlerContext) {
        connection.refuse(
            .badCertificate,
            "the host's certificate can't be verified, and nothing was sent; an authority of your own belongs into the server's setting "
                + "egress-authorities")
        context.close(promise: nil)
    }

    /// TLS has verified the certificate for the name or for the address that the name led to. Addresses have certificates too, and whoever
    /// can answer for a name could send us to one of theirs: only the name counts (RFC 9525 §6.1).
    private func isForTheName(_ context: ChannelHandlerContext) -> Bool {
        guard let shown = try? context.pipeline.syncOperations.nioSSL_peerCertificate(), let bytes = try? shown.toDERBytes(),
            let certificate = try? Certificate(derEncoded: bytes), let names = try? certificate.extensions.subjectAlternativeNames
        else { return false }
        return names.contains { name in
            guard case .dnsName(let text) = name else { return false }
            return AllowedHost("\(text):1")?.allows(connection.target.name) ?? false
        }
    }

    private var isIdle: Bool { if case .none = body { methods.isEmpty } else { false } }

    private static func isAboutCertificate(_ error: any Error) -> Bool {
        if error is NIOSSLExtraError { return true }
        guard case .handshakeFailed(let reason) = error as? NIOSSLError else { return false }
        return "\(reason)".contains("CERTIFICATE_VERIFY_FAILED")
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { partner?.otherBecameWritable() }
        context.fireChannelWritabilityChanged()
    }

    func read(context: ChannelHandlerContext) {
        if partner?.isWritable ?? true { context.read() } else { wantsRead = true }
    }

    // MARK: From inside

    /// Not before TLS is agreed on: until then all that is written waits in memory.
    var isWritable: Bool { isVerified && methods.count < Self.manyUnanswered && context?.channel.isWritable ?? false }

    func join(_ partner: any SpliceEnd) { self.partner = partner }

    func otherBecameWritable() {
        guard wantsRead else { return }
        wantsRead = false
        context?.read()
    }

    /// What was asked is still answered.
    func endOutput() {
        isEnding = true
        if isIdle { context?.close(promise: nil) }
    }

    func otherClosed() {
        partner = nil
        context?.close(promise: nil)
    }
}
