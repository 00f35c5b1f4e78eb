import CasemateModel
import Foundation

/// A zone of the IANA database, in the edition that is built into Foundation: the host's own tzdata is not read.
///
/// About 0.1 µs for an offset, 1 µs for a transition.
public struct SystemZone: TimeZoneRules {
    /// As it was given: Foundation would call UTC GMT.
    public let identifier: String
    private let zone: TimeZone

    /// From an identifier such as `Europe/Berlin`, or `UTC` or `GMT`. Nil for others, also for what Foundation alone knows: abbreviations,
    /// which are ambiguous, and `GMT+3`, whose sign POSIX turns around.
    public init?(_ identifier: String) {
        // Not all of IANA's identifiers are known ones: of two for one zone only the older is, so Asia/Calcutta but not Asia/Kolkata.
        let isPlace = identifier.utf8.contains(UInt8(ascii: "/")) && !identifier.hasPrefix("SystemV/")
        guard isPlace || identifier == "UTC" || TimeZone.knownTimeZoneIdentifiers.contains(identifier),
            let zone = TimeZone(identifier: identifier)
        else { return nil }
        self.identifier = identifier
        self.zone = zone
    }

    public func offset(at seconds: Int64) -> Int { zone.secondsFromGMT(for: Self.date(seconds)) }

    public func nextTransition(after seconds: Int64) -> Int64? {
        let offset = offset(at: seconds)
        var last = seconds
        // It tells of every change of the rules, also of one that leaves the offset as it is.
        while let date = zone.nextDaylightSavingTimeTransition(after: Self.date(last)) {
            let next = Int64(date.timeIntervalSince1970)
            guard next > last else { return nil }
            // Its name promises daylight saving alone. Were a change of another kind left out, the offset would be another just before.
            if self.offset(at: next - 1) != offset { return firstChange(from: offset, after: last, before: next) }
            if self.offset(at: next) != offset { return next }
            last = next
        }
        return nil
    }

    /// The change between the two: `last` still has `offset`, the instant before `next` has another.
    private func firstChange(from offset: Int, after last: Int64, before next: Int64) -> Int64 {
        var (before, changed) = (last, next - 1)
        while changed - before > 1 {
            let middle = before + (changed - before) / 2
            if self.offset(at: middle) == offset { before = middle } else { changed = middle }
        }
        return changed
    }

    private static func date(_ seconds: Int64) -> Date { Date(timeIntervalSince1970: Double(seconds)) }
}
