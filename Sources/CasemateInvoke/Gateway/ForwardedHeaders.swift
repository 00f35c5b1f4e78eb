import CasemateIdentity
import CasemateModel
import NIOHTTP1

/// The header fields that a function gets: the caller's, without credentials and hop-by-hop fields, with forwarding fields that are true.
struct ForwardedHeaders {
    let remote: String
    private let isTrusted: Bool
    let isTLS: Bool
    let trusted: [AddressRange]
    let call: CallId

    init(remote: String, isTLS: Bool, trusted: [AddressRange], call: CallId) {
        self.remote = remote
        self.isTLS = isTLS
        self.trusted = trusted
        self.call = call
        isTrusted = !trusted.isEmpty && trusted.contains { $0.contains(remote) }
    }

    /// Who sent the request, where a proxy of ours says so.
    func caller(_ headers: HTTPHeaders) -> CallerSource? {
        guard isTrusted else { return nil }
        return CallerSource(peer: remote, forwarded: headers[canonicalForm: "x-forwarded-for"], trusted: trusted)
    }

    /// Never the function's business (RFC 9110 §7.6.1, and our own).
    private static let dropped = FieldNames(
        [
            "authorization", "x-auth-token", "scw-functions-token", "x-functions-key", "proxy-authorization", "proxy-connection",
            "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect", "forwarded", "x-request-id",
            "x-real-ip", "x-envoy-external-address",
        ], prefixes: ["x-forwarded-", "casemate-", "x-casemate-"])

    func rebuilt(_ headers: HTTPHeaders) -> HTTPHeaders {
        var out = HTTPHeaders()
        out.reserveCapacity(headers.count + 4)
        // A sender names further hop-by-hop fields in Connection.
        let named = Set(headers[canonicalForm: "connection"].map { $0.lowercased() })
        for (name, value) in headers {
            if Self.dropped.contains(name) || (!named.isEmpty && named.contains(name.lowercased())) { continue }
            out.add(name: name, value: value)
        }
        let before = isTrusted ? headers["x-forwarded-for"].joined(separator: ", ") : ""
        out.add(name: "X-Forwarded-For", value: before.isEmpty ? remote : "\(before), \(remote)")
        let proto = isTrusted ? headers.first(name: "x-forwarded-proto") : nil
        out.add(name: "X-Forwarded-Proto", value: proto ?? (isTLS ? "https" : "http"))
        if isTrusted, let host = headers.first(name: "x-forwarded-host") { out.add(name: "X-Forwarded-Host", value: host) }
        out.add(name: "X-Request-Id", value: call.text)
        return out
    }
}
