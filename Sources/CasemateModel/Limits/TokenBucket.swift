/// How often something may happen: so many in a time, and so many at once.
public struct Rate: Hashable, Sendable, Codable, CustomStringConvertible {
    public enum Unit: String, Sendable, Codable, CaseIterable {
        case second = "s"
        case minute = "min"
        case hour = "h"

        public var seconds: Int {
            switch self {
            case .second: 1
            case .minute: 60
            case .hour: 3600
            }
        }
    }

    public var count: Int
    public var unit: Unit

    /// Nil unless `count` is from 1 to a million.
    public init?(_ count: Int, per unit: Unit) {
        guard (1...1_000_000).contains(count) else { return nil }
        self.count = count
        self.unit = unit
    }

    /// From `100/s`, `600/min` or `1000/h`.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, (1...7).contains(parts[0].utf8.count), parts[0].utf8.allSatisfy({ (48...57).contains($0) }),
            let count = Int(parts[0]), let unit = Unit(rawValue: String(parts[1]))
        else { return nil }
        self.init(count, per: unit)
    }

    public static let rule = "a rate is a number from 1 to 1000000 per s, min or h, like 100/s"

    public var perSecond: Double { Double(count) / Double(unit.seconds) }
    /// How many may come at once after a rest: what a second brings, and one at least.
    public var burst: Double { Swift.max(1, perSecond.rounded(.up)) }

    public var description: String { "\(count)/\(unit.rawValue)" }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let rate = Rate(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: Self.rule)
        }
        self = rate
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// A bucket that fills at a rate up to its burst, and from which each event takes one.
public struct TokenBucket: Sendable {
    private var tokens: Double
    /// In nanoseconds of a clock that never goes back.
    private var filled: UInt64
    private let perSecond: Double
    private let burst: Double

    /// Full.
    public init(perSecond: Double, burst: Double, at now: UInt64) {
        (self.perSecond, self.burst, tokens, filled) = (perSecond, burst, burst, now)
    }

    public init(_ rate: Rate, at now: UInt64) { self.init(perSecond: rate.perSecond, burst: rate.burst, at: now) }

    private mutating func fill(_ now: UInt64) {
        guard now > filled else { return }
        tokens = min(burst, tokens + Double(now - filled) / 1e9 * perSecond)
        filled = now
    }

    /// Whether one could be taken; else nothing changes but the time.
    public mutating func take(at now: UInt64) -> Bool {
        fill(now)
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }

    public mutating func isEmpty(at now: UInt64) -> Bool {
        fill(now)
        return tokens < 1
    }

    /// Nothing would be lost by forgetting it.
    public mutating func isFull(at now: UInt64) -> Bool {
        fill(now)
        return tokens >= burst
    }

    /// Whole seconds until one can be taken, 1 at least.
    public var secondsUntilNext: Int { max(1, Int(((1 - tokens) / perSecond).rounded(.up))) }
}
