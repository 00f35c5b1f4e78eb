import CLinux
import Glibc

/// Listening sockets that a service manager keeps and hands to whoever serves on them, so that nobody is refused while one server follows
/// another: what comes meanwhile waits in the kernel (sd_listen_fds(3)).
public struct HandedSockets: Sendable {
    /// By the name that the service manager gives them (`FileDescriptorName=`).
    public let sockets: [String: Socket]

    public struct Socket: Sendable {
        public let descriptor: Int32
        /// Where it listens: `127.0.0.1:8080`, `[::1]:8080`.
        public let address: String
    }

    /// The first descriptor that is handed over.
    private static let first: Int32 = 3

    /// Takes what was handed to this very process; nil where nothing was.
    /// - Parameter names: that are expected, each once or not at all.
    /// - Throws: for another name, and for what is no listening TCP socket.
    public static func take(_ names: [String]) throws -> HandedSockets? {
        defer { for variable in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"] { unsetenv(variable) } }
        guard variable("LISTEN_PID").flatMap({ pid_t($0) }) == getpid(), let count = variable("LISTEN_FDS").flatMap({ Int32($0) }),
            count > 0
        else { return nil }
        guard count <= names.count else { throw HandedSocketsError("\(count) sockets were handed over; there is use for \(names.count)") }
        let given = (variable("LISTEN_FDNAMES") ?? "").split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        var found: [String: Socket] = [:]
        for index in 0..<Int(count) {
            let descriptor = first + Int32(index)
            cl_set_cloexec(descriptor, 1)
            let name = index < given.count ? given[index] : ""
            guard names.contains(name), found[name] == nil else {
                throw HandedSocketsError(
                    "socket \(index + 1) that was handed over is called \"\(name)\"; FileDescriptorName= is each of \(names.joined(separator: ", ")) once"
                )
            }
            guard let address = listeningAddress(descriptor) else {
                throw HandedSocketsError(
                    "socket \(name) that was handed over is no listening TCP socket; use ListenStream=ADDRESS:PORT, Accept=no")
            }
            found[name] = Socket(descriptor: descriptor, address: address)
        }
        return HandedSockets(sockets: found)
    }

    private static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// Nil for what is none.
    private static func listeningAddress(_ descriptor: Int32) -> String? {
        func option(_ option: Int32) -> Int32? {
            var (value, length): (Int32, socklen_t) = (0, socklen_t(MemoryLayout<Int32>.size))
            return getsockopt(descriptor, SOL_SOCKET, option, &value, &length) == 0 ? value : nil
        }
        guard option(SO_ACCEPTCONN) == 1, option(SO_TYPE) == Int32(SOCK_STREAM.rawValue) else { return nil }
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        var port = [CChar](repeating: 0, count: 32)
        let isNamed = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                getsockname(descriptor, address, &length) == 0
                    && [sa_family_t(AF_INET), sa_family_t(AF_INET6)].contains(address.pointee.sa_family)
                    && getnameinfo(
                        address, length, &host, socklen_t(host.count), &port, socklen_t(port.count), NI_NUMERICHOST | NI_NUMERICSERV) == 0
            }
        }
        guard isNamed else { return nil }
        func text(_ bytes: [CChar]) -> String { String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) }
        return storage.ss_family == sa_family_t(AF_INET6) ? "[\(text(host))]:\(text(port))" : "\(text(host)):\(text(port))"
    }
}

/// What was handed over can't be used; a sentence with what to do.
public struct HandedSocketsError: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
