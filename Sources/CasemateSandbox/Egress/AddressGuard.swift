import CLinux
import CasemateModel
import Glibc
import Synchronization

/// Which addresses of the world a function's name may lead to: public ones, and what its namespace's policy lists.
public struct AddressGuard: Sendable {
    /// Why an address is refused.
    public enum Refusal: String, Sendable {
        case own = "an address of this server"
        case metadata = "a metadata service's address"
        case reserved = "a private or reserved address"
    }

    /// The addresses of the server's own host, asked anew every few seconds.
    private let own: OwnAddresses

    public init() { own = OwnAddresses() }

    /// What must not be connected to, or nil. An address inside of another one (IPv4 in IPv6) is judged by what it leads to.
    ///
    /// - Parameter listed: ranges of the policy; they open what is reserved, never the server itself.
    public func refusal(of address: IPAddress, listed: [AddressRange]) -> Refusal? {
        let address = Self.unwrapped(address)
        if own.contains(address) || Self.loopback.contains(where: { $0.contains(address) }) { return .own }
        // A range that is listed for its hosts must not open what a cloud has put among them.
        if Self.metadata.contains(address) {
            return listed.contains { $0.address == address && $0.bits == address.bytes.count * 8 } ? nil : .metadata
        }
        if listed.contains(where: { $0.contains(address) }) { return nil }
        // Of IPv6, IANA gives out one eighth (RFC 4291 §2.4); the rest is special, or not in use.
        if address.isV6, !Self.globalUnicast.contains(address) { return .reserved }
        return Self.reserved.contains { $0.contains(address) } ? .reserved : nil
    }

    /// The IPv4 address that an IPv4-mapped (RFC 4291 §2.5.5.2), NAT64 (RFC 6052 §2.1) or 6to4 (RFC 3056 §2) one leads to; else the same.
    static func unwrapped(_ address: IPAddress) -> IPAddress {
        let bytes = address.bytes
        guard address.isV6 else { return address }
        let inner: ArraySlice<UInt8>? =
            if mapped.contains(address) || nat64.contains(address) { bytes[12...] } else if sixToFour.contains(address) {
                bytes[2..<6]
            } else { nil }
        return inner.flatMap { IPAddress(bytes: Array($0)) } ?? address
    }

    private static let globalUnicast = range("2000::/3")
    private static let mapped = range("::ffff:0:0/96")
    private static let nat64 = range("64:ff9b::/96")
    private static let sixToFour = range("2002::/16")
    private static let loopback = [range("127.0.0.0/8"), range("::1"), range("0.0.0.0/8"), range("::")]

    /// Of clouds that use no reserved range for it, or one that a policy may well list as a whole.
    private static let metadata: Set<IPAddress> = Set(
        [
            "169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.23", "100.100.100.200", "168.63.129.16", "192.0.0.192",
            "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::a9fe:a9fe",
        ].compactMap { IPAddress($0) })

    /// IANA's special-purpose registries (RFC 6890), multicast, and what tunnels to IPv4.
    private static let reserved = [
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
        "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "2001::/23", "2001:db8::/32", "3fff::/20",
    ].map(range)

    private static func range(_ text: String) -> AddressRange {
        guard let range = AddressRange(text) else { preconditionFailure("\(text) is no range") }
        return range
    }
}

/// The host's own addresses, of every interface.
final class OwnAddresses: Sendable {
    private let known = Mutex((addresses: Set<IPAddress>?.none, asked: ContinuousClock.Instant?.none))

    func contains(_ address: IPAddress) -> Bool {
        known.withLock { known in
            let now = ContinuousClock.now
            if known.asked.map({ now - $0 > .seconds(5) }) ?? true { known = (Self.ask(), now) }
            // A host that does not know its addresses connects to none.
            return known.addresses?.contains(address) ?? true
        }
    }

    private static func ask() -> Set<IPAddress>? {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return nil }
        defer { freeifaddrs(first) }
        var found: Set<IPAddress> = []
        var next = first
        while let entry = next {
            if let name = entry.pointee.ifa_addr, let address = IPAddress(socketName: name) { found.insert(address) }
            next = entry.pointee.ifa_next
        }
        return found
    }
}

extension IPAddress {
    /// Nil for what is neither AF_INET nor AF_INET6.
    init?(socketName name: UnsafePointer<sockaddr>) {
        switch Int32(name.pointee.sa_family) {
        case AF_INET:
            let bytes = name.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { withUnsafeBytes(of: $0.pointee.sin_addr) { Array($0) } }
            self.init(bytes: bytes)
        case AF_INET6:
            let bytes = name.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { name in
                withUnsafeBytes(of: name.pointee.sin6_addr) { Array($0) }
            }
            self.init(bytes: bytes)
        default: return nil
        }
    }
}
