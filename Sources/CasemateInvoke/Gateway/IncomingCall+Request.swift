import CasemateIdentity
import CasemateModel
import NIOCore
import NIOHTTP1

extension IncomingCall {
    /// - Parameters:
    ///   - peer: the other end of the connection.
    ///   - received: when the head was complete.
    ///   - link: for a connection out of a function's sandbox, whose address says where the call goes.
    /// - Throws: `.uriTooLong`, `.headersTooLarge`; `.invalidRequest` for a Host that is not the one that was dialled.
    init(
        _ head: HTTPRequestHead, id: CallId, peer: CallPeer, received: NIODeadline, settings: GatewaySettings, link: FunctionLink?
    ) throws(Problem) {
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
        if let link {
            guard link.isHost(head.headers[canonicalForm: "host"]) else {
                throw Problem(.invalidRequest, "the request's Host must be \(link.callee.internalHost), the name that was dialled")
            }
            guard path.hasPrefix("/") else { throw Problem(.invalidRequest, "the request's target must be a path (RFC 9112 §3.2.1)") }
            target = link.callee.description[...]
            rest = path
        } else if path.hasPrefix("/f/") {
            let inner = path.dropFirst(3)
            if let first = inner.firstIndex(of: "/") {
                let second = inner[inner.index(after: first)...].firstIndex(of: "/") ?? inner.endIndex
                target = inner[..<second]
                if second < inner.endIndex { rest = inner[second...] }
            }
        }
        let forwarded = ForwardedHeaders(
            remote: peer.address, isTLS: settings.isTLS, trusted: settings.trustedProxies, call: id)
        var headers = forwarded.rebuilt(head.headers)
        let credential = link.map { PresentedCredential(head.headers, from: $0) } ?? PresentedCredential(head.headers)
        // One that it lists: a function that comes for somebody else is not told by its name.
        if case .sandbox(_, let caller) = credential { headers.add(name: "Casemate-Caller", value: caller.description) }
        self.init(
            id: id, method: head.method, target: target, path: rest, query: query, headers: headers,
            credential: credential, received: received,
            source: forwarded.caller(head.headers) ?? peer.source,
            wantsTiming: !head.headers[canonicalForm: "casemate-timing"].isEmpty,
            nonce: Self.nonce(head.headers["casemate-nonce"]), depth: link.map { $0.depth() + 1 } ?? 0,
            asynchronous: try AsyncWish(head.headers))
    }
}

extension IncomingCall {
    /// Of two, neither counts: an empty one is nobody's.
    private static func nonce(_ values: [String]) -> Substring? {
        values.isEmpty ? nil : values.count == 1 ? values[0][...] : ""
    }
}

/// The other end of a connection.
struct CallPeer {
    let address: String
    /// Nil for a function's sandbox.
    let source: CallerSource?

    init(address: String) {
        self.address = address
        source = CallerSource(address)
    }
}
