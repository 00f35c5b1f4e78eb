import CLinux
import CasemateLinux
import Glibc

/// Sockets that live in a sandbox's network namespace and are served from outside it.
enum EgressSockets {
    /// UDP and TCP 127.0.0.53:53 for names, then one listener for each port on an address of its own, exactly: never on all of them.
    static func open(inNetworkOf pid: pid_t, ports: [UInt16]) throws(SystemError) -> [Descriptor] {
        let home = try openNamespace("/proc/self/ns/net")
        let sandbox = try openNamespace("/proc/\(pid)/ns/net")
        defer {
            home.staysOpen()
            sandbox.staysOpen()
        }
        try check(cl_join_network(sandbox.raw), "joining a sandbox's network")
        defer {
            // One thread: if it can't come home, nothing that follows may run.
            if cl_join_network(home.raw) != 0 { _exit(70) }
        }
        try check(cl_loopback_up(), "bringing up a sandbox's loopback")
        let resolver: UInt32 = 0x7f00_0035
        var sockets = [
            Descriptor(try check(cl_bind_ipv4(resolver, 53, 0), "binding the resolver")),
            Descriptor(try check(cl_bind_ipv4(resolver, 53, 1), "binding the resolver")),
        ]
        for (index, port) in ports.enumerated() {
            sockets.append(Descriptor(try check(cl_bind_ipv4(0x7f42_0001 + UInt32(index), port, 1), "binding a listener")))
        }
        return sockets
    }

    private static func openNamespace(_ path: String) throws(SystemError) -> Descriptor {
        let fd = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { throw .last("opening \(path)") }
        return Descriptor(fd)
    }
}
