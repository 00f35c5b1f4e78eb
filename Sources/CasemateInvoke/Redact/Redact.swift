import CasemateModel
import CasemateVault
import NIOCore
import NIOHTTP1

/// A whole response that may leave. Made only by `Redact`.
package struct RedactedReply {
    package let status: HTTPResponseStatus
    package let headers: HTTPHeaders
    package let body: ByteBuffer
    /// Values that were replaced.
    package let hits: Int

    fileprivate init(status: HTTPResponseStatus, headers: HTTPHeaders, body: ByteBuffer, hits: Int) {
        self.status = status
        self.headers = headers
        self.body = body
        self.hits = hits
    }
}

/// Takes every secret value of the function, and the caller's own token, out of what leaves.
package struct Redact {
    /// Up to this many bytes a response is decided as a whole; longer ones are redacted as they pass.
    package static let wholeBodyLimit = 1 << 20

    /// Finds the function's secrets and the caller's token.
    let redactor: CallRedactor
    /// As `redactor`, or less where the function may answer with its secrets.
    private let answers: CallRedactor
    /// An answer with a value in it is not sent at all.
    private let blocks: Bool
    /// A body that can't be looked into is blocked only where a secret could be in it.
    let hasSecrets: Bool
    /// Whether there are values that the function itself does not know.
    let hasUnknown: Bool

    package init(redactor: Redactor, hasSecrets: Bool = true, hasUnknown: Bool = false) {
        self.init(CallRedactor(redactor), hasSecrets: hasSecrets, hasUnknown: hasUnknown)
    }

    init(_ redactor: CallRedactor, answers: CallRedactor? = nil, blocks: Bool = false, hasSecrets: Bool, hasUnknown: Bool) {
        self.redactor = redactor
        self.answers = answers ?? redactor
        self.blocks = blocks
        self.hasUnknown = hasUnknown
        self.hasSecrets = hasSecrets
    }

    /// - Throws: `.secretInResponse` where a value cannot be taken out without breaking the body, `.badResult` for what is no response.
    package func callAsFunction(_ reply: Reply, of call: CallId) throws(Problem) -> RedactedReply {
        let redactor = reply.isCompressed ? answers.whole : answers.whole(for: reply.length)
        var head = try ResponseHead(reply, call: call, redactor: redactor)
        if blocks, head.hits > 0 { throw Self.refused }
        var body = reply.body
        if !redactor.isEmpty, body.readableBytes > 0 {
            let encoding = Self.encoding(head.headers)
            if hasSecrets || CompressedBody.isInflatable(contentEncoding: encoding),
                let plain = try CompressedBody.inflated(body, contentEncoding: encoding, mustBeSeen: hasSecrets)
            {
                if redactor.contains(plain) { throw Self.blocked }
            }
            let clean = body.withUnsafeReadableBytes { redactor.redact($0.bindMemory(to: UInt8.self)) }
            if let clean {
                if blocks { throw Self.refused }
                guard Self.isText(body) else { throw Self.blocked }
                head.hits += clean.hits
                body = ByteBuffer(bytes: clean.bytes)
            }
        }
        return RedactedReply(status: head.status, headers: head.headers, body: body, hits: head.hits)
    }

    /// A response that begins before it is complete.
    /// - Parameter start: the first bytes of the body, at least `wholeBodyLimit`.
    package func stream(_ reply: Reply, start: ByteBuffer, of call: CallId) throws(Problem) -> RedactedStream {
        let redactor = answers.whole
        let head = try ResponseHead(reply, call: call, redactor: redactor)
        if blocks, head.hits > 0 || start.withUnsafeReadableBytes({ redactor.contains($0.bindMemory(to: UInt8.self)) }) {
            throw Self.refused
        }
        // A whole one leaves its body out; here it would come behind the response's end, and be taken for the next one.
        guard head.status.mayHaveResponseBody else {
            throw Problem(.badResult, "the function's result is not an HTTP response: a status \(reply.status) has no body")
        }
        let isCompressed = CompressedBody.isCompressed(start, contentEncoding: Self.encoding(head.headers))
        // What is inside can't be seen before it is gone.
        if isCompressed, hasSecrets { throw Self.blocked }
        let begun = RedactedReply(status: head.status, headers: head.headers, body: ByteBuffer(), hits: head.hits)
        return RedactedStream(
            reply: begun, redaction: redactor.isEmpty ? nil : redactor.makeStream(tellsNothing: hasUnknown),
            witness: answers !== self.redactor
                ? Witness(self.redactor.whole, isCompressed: isCompressed, hasSeen: letsThrough(begun)) : nil, blocks: blocks)
    }

    /// Several fields of that name, or several encodings in one, are one that can't be looked into.
    private static func encoding(_ headers: HTTPHeaders) -> String? {
        let all = headers[canonicalForm: "content-encoding"].filter { !$0.isEmpty && $0.lowercased() != "identity" }
        return all.isEmpty ? nil : all.joined(separator: ",")
    }

    /// A problem is the platform's own text, but may quote what the function or its caller sent.
    package func redacted(_ problem: Problem) -> Problem {
        guard let clean = redactor.whole.redact(Array(problem.detail.utf8)) else { return problem }
        return Problem(
            problem.code, String(decoding: clean.bytes, as: UTF8.self), reason: problem.reason, retryAfterSeconds: problem.retryAfterSeconds
        )
    }

    /// As `redacted`, as an answer.
    package func problem(_ problem: Problem, of call: CallId) -> RedactedReply { Self.reply(redacted(problem), of: call) }

    /// That the call will run: the platform's own words (RFC 7240 §4.1).
    package static func acceptance(of call: AcceptedCall) -> RedactedReply {
        let place = "/calls/\(call.id)"
        let headers: HTTPHeaders = [
            "content-type": "application/json", "location": place, "preference-applied": AsyncWish.preference,
            "casemate-call-id": call.id.text,
        ]
        let body = "{\"callId\":\"\(call.id)\",\"status\":\"queued\",\"statusUrl\":\"\(place)\"}"
        return RedactedReply(status: .accepted, headers: headers, body: ByteBuffer(string: body), hits: 0)
    }

    /// What was redacted when it was kept.
    package static func kept(_ result: QueuedResult) -> RedactedReply {
        RedactedReply(status: HTTPResponseStatus(statusCode: result.status), headers: result.headers, body: result.body, hits: 0)
    }

    /// What the platform says of a call.
    package static func status(_ json: [UInt8]) -> RedactedReply {
        RedactedReply(
            status: .ok, headers: ["content-type": "application/json", "cache-control": "no-store"], body: ByteBuffer(bytes: json), hits: 0)
    }

    /// For problems met before there is a function: they quote nothing.
    package static func refusal(_ problem: Problem, of call: CallId) -> RedactedReply { reply(problem, of: call) }

    private static func reply(_ problem: Problem, of call: CallId) -> RedactedReply {
        var headers = HTTPHeaders()
        headers.add(name: "content-type", value: "application/problem+json")
        headers.add(name: "casemate-call-id", value: call.text)
        if problem.code == .insufficientScope, let scope = problem.reason {
            headers.add(
                name: "www-authenticate", value: "Bearer realm=\"casemate\", error=\"insufficient_scope\", scope=\"\(scope)\"")
        }
        if problem.code == .unauthenticated { headers.add(name: "www-authenticate", value: "Bearer realm=\"casemate\"") }
        if let seconds = problem.retryAfterSeconds { headers.add(name: "retry-after", value: "\(seconds)") }
        return RedactedReply(
            status: HTTPResponseStatus(statusCode: problem.code.status), headers: headers,
            body: ByteBuffer(string: ProblemDetails.json(problem, instance: call)), hits: 0)
    }

    private static let blocked = Problem(
        .secretInResponse, "the function's response holds the value of one of its secrets in a body that can't be redacted")

    private static let refused = Problem(
        .secretInResponse, "the function's response holds the value of one of its secrets, and its manifest says secretsInResponse: block")

    /// Whether an answer that may leave as it is holds a secret of the function's nevertheless.
    func letsThrough(_ reply: RedactedReply) -> Bool {
        guard answers !== redactor else { return false }
        let all = redactor.whole
        if reply.headers.contains(where: { all.contains($0.name) || all.contains($0.value) }) { return true }
        if reply.body.withUnsafeReadableBytes({ all.contains($0.bindMemory(to: UInt8.self)) }) { return true }
        let encoding = Self.encoding(reply.headers)
        let plain = try? CompressedBody.inflated(reply.body, contentEncoding: encoding, mustBeSeen: false)
        return plain.map { all.contains($0) } ?? false
    }

    /// UTF-8 without NUL. A cut at the very end, as in the first part of a longer body, is no fault.
    static func isText(_ body: ByteBuffer) -> Bool {
        body.withUnsafeReadableBytes { raw in
            if raw.contains(0) { return false }
            for cut in 0...min(3, raw.count) where String(validating: raw.dropLast(cut), as: UTF8.self) != nil { return true }
            return false
        }
    }
}

/// A response that is redacted as it passes. Made only by `Redact`.
package final class RedactedStream {
    package let reply: RedactedReply
    private var redaction: RedactorStream?
    private var isText = true
    /// The beginning of a character whose end is in the next part.
    private var cut: [UInt8] = []
    private let blocks: Bool
    /// Sees what the function may answer with, and changes nothing.
    private var witness: Witness?

    fileprivate init(reply: RedactedReply, redaction: RedactorStream?, witness: Witness?, blocks: Bool) {
        self.blocks = blocks
        self.witness = witness
        self.reply = reply
        self.redaction = redaction
    }

    /// It held a secret of the function's, which may answer with it.
    var letsThrough: Bool { witness?.hasSeen ?? false }

    package var hits: Int { (redaction?.hits ?? 0) + reply.hits }

    /// The next bytes that may leave; nil when the response must end here, unfinished: a value was replaced, and the body is no text.
    package func push(_ part: ByteBuffer) -> ByteBuffer? {
        witness?.push(part)
        guard redaction != nil else { return part }
        if isText { look(at: part) }
        var out: [UInt8] = []
        part.withUnsafeReadableBytes { redaction?.push($0.bindMemory(to: UInt8.self), into: &out) }
        return checked(out)
    }

    /// What was held back; nil as for `push`.
    package func finish() -> ByteBuffer? {
        witness?.finish()
        guard redaction != nil else { return ByteBuffer() }
        if !cut.isEmpty { isText = false }
        var out: [UInt8] = []
        redaction?.finish(into: &out)
        return checked(out)
    }

    private func checked(_ out: [UInt8]) -> ByteBuffer? {
        (blocks || !isText) && (redaction?.hits ?? 0) > 0 ? nil : ByteBuffer(bytes: out)
    }

    private func look(at part: ByteBuffer) {
        let bytes = cut + part.readableBytesView
        guard !bytes.contains(0),
            let length = (0...min(3, bytes.count)).first(where: { String(validating: bytes.dropLast($0), as: UTF8.self) != nil })
        else {
            isText = false
            return
        }
        cut = Array(bytes.suffix(length))
    }
}
