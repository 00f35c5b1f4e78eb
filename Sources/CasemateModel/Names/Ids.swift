/// A random 128-bit identity (UUIDv4), never reused. `Kind` keeps a function's id from being taken for a namespace's.
public struct Id<Kind>: Hashable, Sendable, Codable, CustomStringConvertible {
    /// Lower-case, with dashes.
    public let text: String

    /// From the usual 36 characters, in either case.
    public init?(_ text: some StringProtocol) {
        let lower = text.lowercased()
        let parts = lower.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard parts.map(\.count) == [8, 4, 4, 4, 12],
            parts.allSatisfy({ $0.allSatisfy { (48...57).contains($0) || (97...102).contains($0) } })
        else { return nil }
        self.text = lower
    }

    /// A new random one (RFC 9562 §5.4), from the system's generator.
    public init() {
        var generator = SystemRandomNumberGenerator()
        self.init(using: &generator)
    }

    /// - Parameter generator: as good as the system's.
    public init(using generator: inout some RandomNumberGenerator) {
        let high = (generator.next() as UInt64) & ~0xf000 | 0x4000
        let low = (generator.next() as UInt64) & ~(0xc000 << 48) | (0x8000 << 48)
        text = Self.hex(high, low)
    }

    private static func hex(_ high: UInt64, _ low: UInt64) -> String {
        String(unsafeUninitializedCapacity: 36) { out in
            var position = 0
            for index in 0..<32 {
                if index == 8 || index == 12 || index == 16 || index == 20 {
                    out[position] = UInt8(ascii: "-")
                    position += 1
                }
                let half = index < 16 ? high : low
                let digit = UInt8(truncatingIfNeeded: half >> UInt64(60 - (index % 16) * 4)) & 15
                out[position] = digit < 10 ? 48 + digit : 87 + digit
                position += 1
            }
            return position
        }
    }

    /// The 16 bytes.
    public var bytes: [UInt8] {
        let digits = text.utf8.filter { $0 != UInt8(ascii: "-") }.map { $0 < 58 ? $0 - 48 : $0 - 87 }
        return stride(from: 0, to: 32, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    /// From 16 bytes.
    public init?(bytes: [UInt8]) {
        guard bytes.count == 16 else { return nil }
        let high = bytes[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let low = bytes[8...].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        text = Self.hex(high, low)
    }

    public var description: String { text }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let id = Self(text) else { throw Problem(.invalidRequest, "an id is a UUID") }
        self = id
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

public enum NamespaceKind {}
public enum FunctionKind {}
public enum RevisionKind {}
public enum TokenKind {}
public enum KeyKind {}
public enum CallKind {}
public enum AccountKind {}
public enum GrantKind {}
public enum IssuerKind {}
public enum SessionKind {}
public enum FederationKind {}
public enum AlertKind {}
public enum WaiverKind {}
public enum ScheduleKind {}

public typealias NamespaceId = Id<NamespaceKind>
public typealias FunctionId = Id<FunctionKind>
public typealias RevisionId = Id<RevisionKind>
public typealias TokenId = Id<TokenKind>
public typealias KeyId = Id<KeyKind>
public typealias AccountId = Id<AccountKind>
public typealias GrantId = Id<GrantKind>
public typealias IssuerId = Id<IssuerKind>
public typealias SessionId = Id<SessionKind>
public typealias FederationId = Id<FederationKind>
public typealias AlertId = Id<AlertKind>
public typealias WaiverId = Id<WaiverKind>
public typealias ScheduleId = Id<ScheduleKind>
/// One invocation: in its response, its log lines and its records.
public typealias CallId = Id<CallKind>

/// Milliseconds since 1970, UTC.
public struct Timestamp: Hashable, Sendable, Comparable, Codable {
    public let milliseconds: Int64

    public init(milliseconds: Int64) { self.milliseconds = milliseconds }

    public static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }
    public func advanced(byMilliseconds delta: Int64) -> Timestamp { Timestamp(milliseconds: milliseconds + delta) }

    public init(from decoder: any Decoder) throws { milliseconds = try decoder.singleValueContainer().decode(Int64.self) }
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(milliseconds)
    }
}
