import CasemateModel
import NIOCore
import NIOHTTP1

extension IncomingCall {
    /// - Parameters:
    ///   - remote: the peer's address.
    ///   - received: when the head was complete.
    /// - Throws: `.uriTooLong`, `.headersTooLarge`.
    init(_ head: HTTPRequestHead, id: CallId, remote: String, received: NIODeadline, settings: GatewaySettings) throws(Problem) {
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
        let forwarded = ForwardedHeaders(remote: remote, isTLS: settings.isTLS, trusted: settings.trustedProxies, call: id)
        self.init(
            id: id, method: head.method, target: target, path: rest, query: query, headers: forwarded.rebuilt(head.headers),
            credential: PresentedCredential(head.headers), received: received,
            wantsTiming: !head.headers[canonicalForm: "casemate-timing"].isEmpty)
    }
}
