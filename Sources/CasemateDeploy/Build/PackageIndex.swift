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
    let credentials: BasicCredentials?

    /// - Parameter hosts: names besides the index's own, where its files lie.
    /// - Throws: `.invalidRequest` for an index that is not at an https name.
    public init(url: String, fileHosts: [String]) throws(Problem) { try self.init(url: url, fileHosts: fileHosts, named: nil) }

    private init(url: String, fileHosts: [String], named: BasicCredentials?) throws(Problem) {
        guard var parts = URLComponents(string: url), parts.scheme == "https", let host = parts.host,
            let port = UInt16(exactly: parts.port ?? 443), port > 0, let index = AllowedHost(name: host, port: port)
        else { throw Problem(.invalidRequest, "the package index must be an https URL with a host name") }
        let user = parts.user ?? ""
        let password = parts.password ?? ""
        credentials =
            user.isEmpty && password.isEmpty
            ? named
            : BasicCredentials(userAndPassword: Secret((password.isEmpty ? user : "\(user):\(password)").utf8))
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
        try self.init(url: url, fileHosts: fileHosts, named: credentials.map(BasicCredentials.init(userAndPassword:)))
    }

    /// What puts the credentials into requests to the indexes; nil without any.
    static func injections(of indexes: [PackageIndex]) throws -> Injections? {
        try BasicCredentials.injections(indexes.compactMap { index in index.credentials.map { (index.hosts[0], $0) } }, as: "PACKAGE_INDEX")
    }
}
