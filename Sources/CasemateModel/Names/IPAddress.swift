import Glibc

/// An IPv4 or IPv6 address.
public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    /// Four or sixteen, in network order.
    public let bytes: [UInt8]

    /// Nil unless `bytes` are four or sixteen.
    public init?(bytes: [UInt8]) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        self.bytes = bytes
    }

    /// From dotted decimals, or hexadecimal groups (RFC 4291 §2.2): no shorter, octal or hexadecimal IPv4.
    public init?(_ text: String) {
        var v4 = in_addr()
        var v6 = in6_addr()
        // A NUL would hide what follows it from inet_pton.
        guard !text.utf8.contains(0) else { return nil }
        if inet_pton(AF_INET, text, &v4) == 1 {
            bytes = withUnsafeBytes(of: v4) { Array($0) }
        } else if inet_pton(AF_INET6, text, &v6) == 1 {
            bytes = withUnsafeBytes(of: v6) { Array($0) }
        } else {
            return nil
        }
    }

    public var isV6: Bool { bytes.count == 16 }

    /// An IPv4 address that came over a socket for both (RFC 4291 §2.5.5.2) as what it is.
    public var unmapped: IPAddress {
        guard isV6, bytes[..<10].allSatisfy({ $0 == 0 }), bytes[10] == 0xff, bytes[11] == 0xff else { return self }
        return IPAddress(bytes: Array(bytes[12...])) ?? self
    }

    public var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        inet_ntop(isV6 ? AF_INET6 : AF_INET, bytes, &text, socklen_t(text.count))
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// A CIDR range of addresses.
public struct AddressRange: Hashable, Sendable {
    public let address: IPAddress
    public let bits: Int

    /// From `10.0.0.0/8`, `fd00::/8` or one address.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), let address = IPAddress(String(parts[0])) else { return nil }
        let most = address.bytes.count * 8
        guard let bits = parts.count == 2 ? Int(parts[1]) : most, (0...most).contains(bits) else { return nil }
        self.address = address
        self.bits = bits
    }

    /// Whether no bit is set beyond the prefix: `10.1.2.3/8` may be meant as either.
    public var isNetwork: Bool {
        for bit in bits..<(address.bytes.count * 8) where address.bytes[bit / 8] >> UInt8(7 - bit % 8) & 1 != 0 { return false }
        return true
    }

    public func contains(_ other: IPAddress) -> Bool {
        let (prefix, bytes) = (address.bytes, other.bytes)
        guard bytes.count == prefix.count else { return false }
        for bit in 0..<bits where (prefix[bit / 8] ^ bytes[bit / 8]) >> UInt8(7 - bit % 8) & 1 != 0 { return false }
        return true
    }

    public func contains(_ text: String) -> Bool { IPAddress(text).map { contains($0.unmapped) || contains($0) } ?? false }
}

extension AddressRange: CustomStringConvertible { public var description: String { "\(address)/\(bits)" } }

extension AddressRange: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let range = AddressRange(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a CIDR range such as 10.20.0.0/16")
        }
        self = range
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
