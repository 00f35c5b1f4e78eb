import CasemateModel
import Glibc
import NIOHTTP1

/// The header fields that a function gets: the caller's, without credentials and hop-by-hop fields, with forwarding fields that are true.
struct ForwardedHeaders {
    let remote: String
    let isTLS: Bool
    let trusted: [AddressRange]
    let call: CallId

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
        let isTrusted = !trusted.isEmpty && trusted.contains { $0.contains(remote) }
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

/// A CIDR range of addresses.
package struct AddressRange: Sendable, Equatable {
    private let prefix: [UInt8]
    private let bits: Int

    /// From `10.0.0.0/8`, `fd00::/8` or one address.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), let address = Self.bytes(String(parts[0])) else { return nil }
        guard let bits = parts.count == 2 ? Int(parts[1]) : address.count * 8, (0...(address.count * 8)).contains(bits) else { return nil }
        prefix = address
        self.bits = bits
    }

    package func contains(_ address: String) -> Bool {
        guard let other = Self.bytes(address), other.count == prefix.count else { return false }
        for bit in 0..<bits where (prefix[bit / 8] ^ other[bit / 8]) >> UInt8(7 - bit % 8) & 1 != 0 { return false }
        return true
    }

    private static func bytes(_ text: String) -> [UInt8]? {
        var v4 = in_addr()
        if inet_pton(AF_INET, text, &v4) == 1 { return withUnsafeBytes(of: v4) { Array($0) } }
        var v6 = in6_addr()
        if inet_pton(AF_INET6, text, &v6) == 1 { return withUnsafeBytes(of: v6) { Array($0) } }
        return nil
    }
}
