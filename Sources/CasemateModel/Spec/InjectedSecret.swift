/// A secret that its function never holds: the way out puts it into the requests to one host.
public struct InjectedSecret: Hashable, Sendable, Codable {
    public let name: VariableName
    /// Exactly one name and port.
    public let host: AllowedHost
    /// The field that it is put into.
    public let header: String
    /// Where `{}` stands for the value; nil for the value alone.
    public let format: String?

    public init(name: VariableName, host: AllowedHost, header: String, format: String?) {
        self.name = name
        self.host = host
        self.header = header
        self.format = format
    }

    /// What the function finds in its place.
    public static func placeholder(of name: VariableName) -> String { "casemate-placeholder-\(name)" }

    /// The field's value, with `value` in it.
    public func rendered(_ value: String) -> String {
        (format ?? "{}").split(separator: "{}", omittingEmptySubsequences: false).joined(separator: value)
    }

    /// Fields that say where a message ends, to whom it goes or how it is written. The forwarder writes them itself.
    public static let forbiddenHeaders: Set<String> = [
        "host", "content-length", "transfer-encoding", "content-encoding", "accept-encoding", "connection", "keep-alive", "te", "trailer",
        "upgrade", "expect", "range", "if-range", "proxy-connection", "http2-settings",
    ]

    /// Environment variables by which clients find the authorities that they trust; the platform sets them where a secret is put in.
    public static let trustVariables = [
        "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO",
    ]
}

extension InjectedSecret: CustomStringConvertible {
    /// For whoever reads how a deployment changes it.
    public var description: String { "\(name) in \(header) at \(host)" }
}
