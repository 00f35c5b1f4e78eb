import CasemateModel
import CasemateSandbox
import CasemateVault
import Foundation

/// Where builds get packages from: the one index of the operator's choice, and the hosts that a build may reach for it.
public struct PackageIndex: Sendable {
    /// Of PEP 503's simple API, without credentials: the build sandbox never has them.
    public let url: String
    public let hosts: [AllowedHost]
    /// The credentials that the operator wrote into the URL; the way out puts them into requests to the index.
    let credentials: Credentials?

    struct Credentials: Sendable {
        /// For the header field, after `Basic ` (RFC 7617 §2).
        let encoded: Secret
        /// What else an answer could tell.
        let password: Secret
    }

    /// - Parameter hosts: names besides the index's own, where its files lie.
    /// - Throws: `.invalidRequest` for an index that is not at an https name.
    public init(url: String, fileHosts: [String]) throws(Problem) { try self.init(url: url, fileHosts: fileHosts, named: nil) }

    private init(url: String, fileHosts: [String], named: Credentials?) throws(Problem) {
        guard var parts = URLComponents(string: url), parts.scheme == "https", let host = parts.host,
            let port = UInt16(exactly: parts.port ?? 443), port > 0, let index = AllowedHost(name: host, port: port)
        else { throw Problem(.invalidRequest, "the package index must be an https URL with a host name") }
        let user = parts.user ?? ""
        let password = parts.password ?? ""
        credentials =
            user.isEmpty && password.isEmpty
            ? named
            : Credentials(
                encoded: Secret(Data("\(user):\(password)".utf8).base64EncodedData()),
                // Some indexes take a token for the user's name, and no password.
                password: Secret((password.isEmpty ? user : password).utf8))
        (parts.user, parts.password) = (nil, nil)
        guard let plain = parts.string else { throw Problem(.invalidRequest, "the package index must be an https URL with a host name") }
        self.url = plain
        var hosts = [index]
        for name in fileHosts {
            guard let file = AllowedHost(name: name, port: 443) else { throw Problem(.invalidRequest, "\(name) is no host name") }
            if !hosts.contains(file) { hosts.append(file) }
        }
        self.hosts = hosts
    }

    /// One that a manifest names.
    /// - Parameter credentials: `user:password`.
    init(url: String, fileHosts: [String], credentials: Secret?) throws(Problem) {
        try self.init(url: url, fileHosts: fileHosts, named: credentials.map(Credentials.init(userAndPassword:)))
    }

    /// What puts the credentials into requests to the indexes; nil without any.
    static func injections(of indexes: [PackageIndex]) throws -> Injections? {
        guard let name = VariableName("PACKAGE_INDEX") else { return nil }
        let known = indexes.compactMap { index in index.credentials.map { (index.hosts[0], $0) } }
        guard !known.isEmpty else { return nil }
        return try Injections(
            known.map { host, credentials in
                (InjectedSecret(name: name, host: host, header: "Authorization", format: "Basic {}"), credentials.encoded)
            },
            redactor: Redactor(
                known.flatMap { [$0.1.encoded, $0.1.password] }.map { secret in
                    secret.withBytes { .secret(name: name.text, value: Array($0)) }
                }))
    }
}

extension PackageIndex.Credentials {
    /// A token may stand alone: some indexes take one for the user's name, and no password.
    init(userAndPassword: Secret) {
        let text = userAndPassword.withBytes { Array($0) }
        let password = text.firstIndex(of: UInt8(ascii: ":")).map { Array(text[($0 + 1)...]) } ?? text
        let whole = text.contains(UInt8(ascii: ":")) ? text : text + [UInt8(ascii: ":")]
        encoded = Secret(Data(whole).base64EncodedData())
        self.password = Secret(password)
    }
}
