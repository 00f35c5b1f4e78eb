import CasemateModel
import Foundation

/// Where a repository lies, by the form of its URL.
public struct GitRemote: Hashable, Sendable {
    public enum Transport: String, Sendable { case https, ssh }

    public let transport: Transport
    public let host: AllowedHost
    static let longest = 1024

    /// Nil for what is neither an https URL nor an ssh URL with a user, for one with a password, and for a path that has more than one
    /// spelling: a policy compares URLs as they are written.
    public init?(_ url: String) {
        guard url.utf8.count <= Self.longest, let parts = URLComponents(string: url), let transport = parts.scheme.flatMap(Transport.init),
            url.hasPrefix("\(transport.rawValue)://"), let name = parts.host, name == name.lowercased(), parts.password == nil,
            parts.query == nil, parts.fragment == nil, Self.isPath(parts.percentEncodedPath)
        else { return nil }
        switch transport {
        case .https: guard parts.user == nil else { return nil }
        case .ssh: guard let user = parts.user, Self.isUser(user) else { return nil }
        }
        let port = parts.port ?? (transport == .https ? 443 : 22)
        guard let port = UInt16(exactly: port), port > 0, let host = AllowedHost(name: name, port: port) else { return nil }
        self.transport = transport
        self.host = host
    }

    private static func isUser(_ text: String) -> Bool {
        text.utf8.first != UInt8(ascii: "-") && (1...64).contains(text.utf8.count) && text.utf8.allSatisfy { isPlain($0) }
    }

    private static func isPath(_ path: String) -> Bool {
        guard path.hasPrefix("/"), path.utf8.count > 1 else { return false }
        return path.dropFirst().split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
            !part.isEmpty && part != "." && part != ".." && part.utf8.first != UInt8(ascii: "-")
                && part.utf8.allSatisfy { isPlain($0) || $0 == UInt8(ascii: "~") || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "@") }
        }
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte) || [45, 46, 95].contains(byte)
    }
}
