import Glibc

/// Where a service answers: scheme, host and perhaps a port. Plain http is for loopback addresses only: a request that is signed can still
/// be read, and with KMS it holds a key.
public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    public enum Scheme: String, Sendable { case http, https }

    public let scheme: Scheme
    /// In small letters; an IPv6 address in brackets.
    public let host: String
    public let port: UInt16?
    /// Whether it is one of AWS's own hosts, made by `aws`.
    let isAWS: Bool

    /// From `https://HOST`, `https://HOST:PORT`, or the same with http for 127.0.0.0/8, [::1] and localhost. No path, user or query.
    public init(_ text: some StringProtocol) throws(AWSAddressError) {
        let form = "write endpoint=https://HOST or https://HOST:PORT"
        let authority: Substring
        if text.hasPrefix("https://") {
            scheme = .https
            authority = Substring(text.dropFirst(8))
        } else if text.hasPrefix("http://") {
            scheme = .http
            authority = Substring(text.dropFirst(7))
        } else {
            throw AWSAddressError("an endpoint begins with https://: \(form)")
        }
        let afterHost: Substring
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            host = String(authority[...end])
            afterHost = authority[authority.index(after: end)...]
        } else {
            let end = authority.firstIndex { !(Characters.isMadeForHost($0)) } ?? authority.endIndex
            host = String(authority[..<end])
            afterHost = authority[end...]
        }
        guard Self.isHost(host) else { throw AWSAddressError("an endpoint's host is a name in small letters or an address: \(form)") }
        if afterHost.isEmpty {
            port = nil
        } else {
            let digits = afterHost.dropFirst()
            guard afterHost.hasPrefix(":"), (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy(Characters.isDigit),
                !digits.hasPrefix("0"), let port = UInt16(digits)
            else { throw AWSAddressError("an endpoint has no path, user or query, and a port is 1 to 65535: \(form)") }
            self.port = port
        }
        isAWS = false
        guard scheme == .https || isLoopback else {
            throw AWSAddressError("plain http is for loopback addresses only (127.0.0.1, [::1], localhost): \(form)")
        }
    }

    private init(host: String) {
        scheme = .https
        self.host = host
        port = nil
        isAWS = true
    }

    /// AWS's own host of a service, such as `kms.eu-west-1.amazonaws.com`.
    /// - Throws: when AWS has no such region.
    static func aws(_ service: String, in region: Region) throws(AWSAddressError) -> Endpoint {
        guard let domain = region.domain else {
            throw AWSAddressError("\(region) is no region of AWS: write one such as eu-west-1, or add endpoint=https://HOST")
        }
        return Endpoint(host: "\(service).\(region).\(domain)")
    }

    /// The host with a label before it; for buckets.
    func prefixed(by label: String) -> Endpoint { Endpoint(host: "\(label).\(host)") }

    /// By how it is written. A name other than localhost is not looked up, as its answer may change.
    public var isLoopback: Bool {
        if host == "localhost" || host == "[::1]" { return true }
        var address = in_addr()
        // inet_pton takes four decimals only; what else libcurl would read as an address is not loopback here.
        return inet_pton(AF_INET, host, &address) == 1 && UInt32(bigEndian: address.s_addr) >> 24 == 127
    }

    public var description: String { "\(scheme.rawValue)://\(host)\(port.map { ":\($0)" } ?? "")" }

    private static func isHost(_ host: String) -> Bool {
        guard (1...253).contains(host.utf8.count) else { return false }
        if host.hasPrefix("[") {
            var address = in6_addr()
            return inet_pton(AF_INET6, String(host.dropFirst().dropLast()), &address) == 1
        }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
        }
    }
}

extension Characters {
    fileprivate static func isMadeForHost(_ character: Character) -> Bool {
        guard let byte = character.asciiValue else { return false }
        return isSmallLetter(byte) || isDigit(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
    }
}
