import CasemateModel
import CasemateSandbox
import Foundation

/// Where builds get packages from: the one index of the operator's choice, and the hosts that a build may reach for it.
public struct PackageIndex: Sendable {
    /// Of PEP 503's simple API.
    public let url: String
    public let hosts: [AllowedHost]

    /// - Parameter hosts: names besides the index's own, where its files lie.
    /// - Throws: `.invalidRequest` for an index that is not at an https name.
    public init(url: String, fileHosts: [String]) throws(Problem) {
        guard let parts = URLComponents(string: url), parts.scheme == "https", let host = parts.host,
            let port = UInt16(exactly: parts.port ?? 443), port > 0, let index = AllowedHost(name: host, port: port)
        else { throw Problem(.invalidRequest, "the package index must be an https URL with a host name") }
        self.url = url
        var hosts = [index]
        for name in fileHosts {
            guard let file = AllowedHost(name: name, port: 443) else { throw Problem(.invalidRequest, "\(name) is no host name") }
            if !hosts.contains(file) { hosts.append(file) }
        }
        self.hosts = hosts
    }
}
