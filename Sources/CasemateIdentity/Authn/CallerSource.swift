import CasemateModel

/// Where a request comes from, as far as its sender can't choose it: an IPv4 address, or the 64 bits of an IPv6 network, of which one
/// customer has all addresses.
public struct CallerSource: Hashable, Sendable, CustomStringConvertible {
    let value: UInt64

    /// No address has this: it would be one of multicast, from which nothing comes.
    static let none = UInt64.max

    public init(_ address: IPAddress) {
        let bytes = address.unmapped.bytes
        value = bytes.prefix(8).reduce(bytes.count == 4 ? 0xffff : 0) { $0 << 8 | UInt64($1) }
    }

    /// Nil for what is no address.
    public init?(_ text: String) {
        guard let address = IPAddress(text) else { return nil }
        self.init(address)
    }

    /// Who sent a request, as those tell who are trusted: the last address in `X-Forwarded-For` that is no proxy of ours.
    /// - Parameter forwarded: the field's entries, first to last.
    /// - Returns: nil where the peer itself sent it, or the entry is no address.
    public init?(peer: String, forwarded: some BidirectionalCollection<Substring>, trusted: [AddressRange]) {
        guard trusted.contains(where: { $0.contains(peer) }) else { return nil }
        for hop in forwarded.reversed() {
            // What stands before something that is no address may be the sender's own invention.
            guard let address = Self.address(hop)?.unmapped else { return nil }
            if trusted.contains(where: { $0.contains(address) }) { continue }
            self.init(address)
            return
        }
        return nil
    }

    /// `192.0.2.7`, `2001:db8:1:2::/64`
    public var description: String {
        if value >> 32 == 0xffff {
            return (0..<4).map { "\(UInt8(truncatingIfNeeded: value >> UInt64(24 - $0 * 8)))" }.joined(separator: ".")
        }
        return (0..<4).map { String(UInt16(truncatingIfNeeded: value >> UInt64(48 - $0 * 16)), radix: 16) }.joined(separator: ":") + "::/64"
    }

    /// Some balancers add a port, and brackets around IPv6.
    private static func address(_ hop: Substring) -> IPAddress? {
        var text = hop.drop { $0 == " " }
        while text.last == " " { text.removeLast() }
        if text.first == "[", let end = text.firstIndex(of: "]") {
            return IPAddress(String(text[text.index(after: text.startIndex)..<end]))
        }
        if let colon = text.firstIndex(of: ":"), text[text.index(after: colon)...].allSatisfy(\.isNumber), text.contains(".") {
            text = text[..<colon]
        }
        return IPAddress(String(text))
    }
}
