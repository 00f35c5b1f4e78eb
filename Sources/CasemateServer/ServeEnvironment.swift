import CasemateLinux
import Glibc

/// What `casemate up` hands to the server besides its settings: descriptors and numbers, in variables that are removed once read.
public struct ServeEnvironment: Sendable {
    public var wardenSocket: String
    /// The warden, when it is a child of ours.
    public var wardenPID: pid_t?
    /// Closing it ends the warden.
    public var lifeline: Int32?
    /// SHA-256 of the bootstrap administrator key, in hexadecimal, and its first characters.
    public var adminKeyHash: String?
    public var adminKeyPrefix: String
    /// A configuration file of the command line's, to which the server's URL is added once it is known.
    public var clientConfiguration: Int32?
    /// Certificate chain and key in PEM, in a memory file.
    public var tls: Int32?
    /// Authorities for the hosts of injected secrets in PEM, in a memory file.
    public var authorities: Int32?
    /// AWS credentials in a memory file.
    public var aws: Int32?
    /// What the service manager gave, in a memory file.
    public var credentials: Int32?
    /// Sockets that a service manager listens on for us.
    public var apiSocket: Int32?
    public var gatewaySocket: Int32?
    /// How the one who started the server reaches the administrator's key.
    public var adminKeyPath: String

    public enum Variable: String, CaseIterable {
        case socket = "CASEMATE_X_SOCKET"
        case wardenPID = "CASEMATE_X_WARDEN_PID"
        case lifeline = "CASEMATE_X_LIFELINE"
        case keyHash = "CASEMATE_X_KEY_HASH"
        case keyPrefix = "CASEMATE_X_KEY_PREFIX"
        case keyPath = "CASEMATE_X_KEY_PATH"
        case clientConfiguration = "CASEMATE_X_CLIENT_CONFIG"
        case tls = "CASEMATE_X_TLS"
        case authorities = "CASEMATE_X_AUTHORITIES"
        case aws = "CASEMATE_X_AWS"
        case credentials = "CASEMATE_X_CREDENTIALS"
        case apiSocket = "CASEMATE_X_API_SOCKET"
        case gatewaySocket = "CASEMATE_X_GATEWAY_SOCKET"
        case uid = "CASEMATE_X_UID"
        case gid = "CASEMATE_X_GID"
    }

    /// Nil when the server was not started by `up`.
    public init?() {
        func take(_ variable: Variable) -> String? {
            guard let text = getenv(variable.rawValue) else { return nil }
            defer { unsetenv(variable.rawValue) }
            return String(cString: text)
        }
        let values = Dictionary(uniqueKeysWithValues: Variable.allCases.map { ($0, take($0)) })
        guard let socket = values[.socket] ?? nil else { return nil }
        wardenSocket = socket
        wardenPID = (values[.wardenPID] ?? nil).flatMap { pid_t($0) }
        lifeline = (values[.lifeline] ?? nil).flatMap { Int32($0) }
        adminKeyHash = values[.keyHash] ?? nil
        adminKeyPrefix = (values[.keyPrefix] ?? nil) ?? ""
        adminKeyPath = (values[.keyPath] ?? nil) ?? ""
        clientConfiguration = (values[.clientConfiguration] ?? nil).flatMap { Int32($0) }
        tls = (values[.tls] ?? nil).flatMap { Int32($0) }
        aws = (values[.aws] ?? nil).flatMap { Int32($0) }
        credentials = (values[.credentials] ?? nil).flatMap { Int32($0) }
        apiSocket = (values[.apiSocket] ?? nil).flatMap { Int32($0) }
        gatewaySocket = (values[.gatewaySocket] ?? nil).flatMap { Int32($0) }
        authorities = (values[.authorities] ?? nil).flatMap { Int32($0) }
    }
}
