/// A name and port that a function may reach: one name, or with `*.` before it every name that is one label longer; or IPv4 addresses.
public struct AllowedHost: Hashable, Sendable {
    /// Lower case, ASCII, without a dot at its end; without the `*.` of a wild one. Of addresses, how they are written.
    public let name: String
    public let port: UInt16
    public let isWild: Bool
    /// Nil for names. Listing these takes a right of its own.
    public let range: AddressRange?

    /// More than one host.
    public var isWide: Bool { isWild || range.map { $0.bits < 32 } ?? false }

    /// Nil for what is no host name (RFC 1123 §2.1; underscores are taken, as DNS does) or could be read as an address.
    public init?(name: String, port: UInt16, isWild: Bool = false) {
        // Checked first: some letters of other scripts become ASCII when lowered.
        guard port > 0, name.utf8.allSatisfy({ $0 < 128 }) else { return nil }
        let lower = name.lowercased()
        let labels = lower.split(separator: ".", omittingEmptySubsequences: false)
        guard let last = labels.last, lower.utf8.count <= 253, labels.allSatisfy(Self.isLabel), !Self.isNumber(last) else { return nil }
        self.name = lower
        self.port = port
        self.isWild = isWild
        range = nil
    }

    /// Nil for what holds no host of the world's (RFC 1122 §3.2.1.3), is larger than a /8, has bits beyond its prefix, or is IPv6, which no
    /// sandbox has.
    public init?(range: AddressRange, port: UInt16) {
        guard port > 0, !range.address.isV6, range.bits >= 8, range.isNetwork, let first = range.address.bytes.first, first != 0,
            first != 127, first < 224
        else { return nil }
        name = range.bits == 32 ? "\(range.address)" : "\(range)"
        self.port = port
        isWild = false
        self.range = range
    }

    /// From `name:port`, `*.name:port`, `address:port` or `address/bits:port`.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, (1...5).contains(parts[1].utf8.count), parts[1].utf8.allSatisfy({ (48...57).contains($0) }),
            !parts[1].hasPrefix("0"), let port = UInt16(parts[1])
        else { return nil }
        if let range = AddressRange(parts[0]) {
            self.init(range: range, port: port)
            return
        }
        let isWild = parts[0].hasPrefix("*.")
        self.init(name: String(isWild ? parts[0].dropFirst(2) : parts[0]), port: port, isWild: isWild)
    }

    /// Whether it allows `name`, which is in lower case.
    public func allows(_ name: String) -> Bool {
        guard range == nil else { return false }
        guard isWild else { return name == self.name }
        guard let dot = name.firstIndex(of: "."), dot > name.startIndex else { return false }
        return name[name.index(after: dot)...] == self.name
    }

    /// Whether it allows that address and port, as addresses.
    public func allows(_ address: String, _ port: UInt16) -> Bool { port == self.port && range?.contains(address) ?? false }

    private static func isLabel(_ label: Substring) -> Bool {
        (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
            && label.utf8.allSatisfy {
                (97...122).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
            }
    }

    /// A last label that a resolver of addresses reads as a number, decimal, octal or hexadecimal.
    private static func isNumber(_ label: Substring) -> Bool {
        let digits = label.hasPrefix("0x") ? label.dropFirst(2).filter { !$0.isHexDigit } : label.filter { !$0.isNumber }
        return digits.isEmpty
    }
}

extension AllowedHost: CustomStringConvertible, Codable, Comparable {
    public var description: String { "\(isWild ? "*." : "")\(name):\(port)" }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let host = AllowedHost(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not NAME:PORT")
        }
        self = host
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }

    /// By name, then port; a wild one after the name itself.
    public static func < (left: AllowedHost, right: AllowedHost) -> Bool {
        (left.name, left.isWild ? 1 : 0, left.port) < (right.name, right.isWild ? 1 : 0, right.port)
    }
}
