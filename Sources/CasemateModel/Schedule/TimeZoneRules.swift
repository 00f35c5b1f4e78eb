/// When a place's clocks differ from UTC, and by how much. Always by less than two days.
public protocol TimeZoneRules: Sendable {
    /// Seconds east of UTC in force at that instant, in seconds since 1970.
    func offset(at seconds: Int64) -> Int
    /// The first instant after `seconds` at which the offset is another one; nil when it stays.
    func nextTransition(after seconds: Int64) -> Int64?
}

/// Clocks that are never changed.
public struct FixedOffset: TimeZoneRules, Hashable {
    public let secondsEast: Int

    public static let utc = FixedOffset(uncheckedSecondsEast: 0)

    /// Nil unless it is less than a day.
    public init?(secondsEast: Int) {
        guard (-86_399...86_399).contains(secondsEast) else { return nil }
        self.init(uncheckedSecondsEast: secondsEast)
    }

    private init(uncheckedSecondsEast: Int) { secondsEast = uncheckedSecondsEast }

    public func offset(at seconds: Int64) -> Int { secondsEast }
    public func nextTransition(after seconds: Int64) -> Int64? { nil }
}
