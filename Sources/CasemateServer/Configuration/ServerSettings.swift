import CasemateAWS
import CasemateModel

/// Everything that can be set about a server, with its value. What each means stands in `SettingsTable`.
public struct ServerSettings: Sendable, Equatable {
    public var data: String
    public var listen: Endpoint
    public var gateway: Endpoint
    public var user: String
    public var domain: String
    public var apiURL: String?
    public var gatewayURL: String?
    public var tls: TLS
    public var trustedProxies: [String]
    public var poolSize: Int
    public var poolMaximum: Int
    public var frozenBytes: Int
    public var maximumRequestBytes: Int
    public var maximumResponseBytes: Int
    /// Asynchronous calls that run at once.
    public var queueWorkers: Int
    /// What runs may take as long to end when the server is told to stop.
    public var drainSeconds: Int
    public var logLevel: String
    public var logRetentionInDays: Int
    public var logBytesPerFunction: Int
    public var indexURL: String?
    public var indexHosts: [String]
    public var resolvers: [String]
    public var egressConnections: Int
    public var egressAuthorities: String?
    public var egressBytesPerHour: Int
    /// Providers of the key-encryption key.
    public var keys: [String]
    /// `file`, or a key of AWS KMS: what revisions are signed with.
    public var signingKey: String
    /// What the server shows to AWS: a file of shared credentials; nil for what `up` found in its environment.
    public var awsCredentials: String?
    public var awsProfile: String
    public var awsRegion: String?
    /// Of Secrets Manager, where it is not AWS's own.
    public var awsEndpoint: String?
    /// Variables for the library of a security module.
    public var keyEnvironment: [String: String]
    /// Below which values of `file://` references are.
    public var secretFiles: String?
    public var auditCheckpoints: [String]
    public var auditCheckpointSeconds: Int
    /// Where archives of sources lie; nil for the data folder.
    public var artifacts: S3Address?
    /// Of those, how much is kept on this machine where they lie elsewhere.
    public var artifactCacheInBytes: Int
    public var securityContact: String?
    public var securityExpires: String?

    public enum TLS: Sendable, Equatable {
        case off
        /// A CA of our own, made at first start.
        case auto
        case files(certificate: String, key: String)
    }

    /// A host and a port; port 0 takes any free one.
    public struct Endpoint: Sendable, Equatable, CustomStringConvertible {
        public var host: String
        public var port: Int

        public init(host: String, port: Int) {
            self.host = host
            self.port = port
        }

        /// From `HOST:PORT`, IPv6 in brackets.
        public init?(_ text: String) {
            guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), (0...65_535).contains(port) else {
                return nil
            }
            var host = String(text[..<colon])
            if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
            guard !host.isEmpty, !host.contains(where: \.isWhitespace) else { return nil }
            self.init(host: host, port: port)
        }

        /// 127.0.0.0/8, ::1 or localhost; a name that only begins like that is not.
        public var isLoopback: Bool {
            let parts = host.split(separator: ".", omittingEmptySubsequences: false)
            return host == "localhost" || host == "::1"
                || parts.count == 4 && parts[0] == "127"
                    && parts.allSatisfy { UInt8($0) != nil && $0.utf8.allSatisfy { (48...57).contains($0) } }
        }
        public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
    }
}
