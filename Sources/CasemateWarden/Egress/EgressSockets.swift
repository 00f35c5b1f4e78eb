import CLinux
import CasemateLinux
import CasemateWire
import Glibc

/// Sockets that live in a sandbox's network namespace and are served from outside it.
enum EgressSockets {
    /// Brings the loopback up, and opens UDP and TCP 127.0.0.53:53 for names.
    static func resolver(inNetworkOf pid: pid_t) throws(SystemError) -> (datagrams: Descriptor, stream: Descriptor) {
        try inside(pid) { () throws(SystemError) in
            try check(cl_loopback_up(), "bringing up a sandbox's loopback")
            let address: UInt32 = 0x7f00_0035
            return (
                Descriptor(try check(cl_bind_ipv4(address, 53, 0), "binding the resolver")),
                Descriptor(try check(cl_bind_ipv4(address, 53, 1), "binding the resolver"))
            )
        }
    }

    /// Each on its own address, exactly: one on all of them would answer for every 127.x.y.z.
    static func listen(inNetworkOf pid: pid_t, on listeners: [InnerListener]) throws(SystemError) -> [Descriptor] {
        try inside(pid) { () throws(SystemError) in
            var sockets: [Descriptor] = []
            for listener in listeners {
                sockets.append(Descriptor(try check(cl_bind_ipv4(listener.address, listener.port, 1), "binding a listener")))
            }
            return sockets
        }
    }

    /// On exactly one address, or on all of them where there are more: whoever serves it sees which one was dialled.
    static func range(inNetworkOf pid: pid_t, _ range: InnerRange) throws(SystemError) -> Descriptor {
        try inside(pid) { () throws(SystemError) in
            try check(cl_route_to_loopback(range.address, range.bits), "making a range local to a sandbox")
            let address = range.bits == 32 ? range.address : 0
            return Descriptor(try check(cl_bind_ipv4(address, range.port, 1), "binding a listener"))
        }
    }

    private static func inside<R>(_ pid: pid_t, _ body: () throws(SystemError) -> R) throws(SystemError) -> R {
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
        return try body()
    }

    private static func openNamespace(_ path: String) throws(SystemError) -> Descriptor {
        let fd = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { throw .last("opening \(path)") }
        return Descriptor(fd)
    }
}
