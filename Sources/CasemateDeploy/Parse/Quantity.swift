/// Sizes, durations and shares of a processor as a manifest writes them. Whole numbers with a unit; no sums such as `1h30m`.
public enum Quantity {
    // MARK: Sizes

    /// `256MiB` → bytes; KiB, MiB and GiB only, since MB has two meanings. nil when it isn't a size; too large ones end at `UInt64.max`.
    public static func sizeInBytes(_ text: String) -> UInt64? {
        guard let (number, unit, spaced) = split(text), !spaced, let shift = ["KiB": 10, "MiB": 20, "GiB": 30][unit] else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << UInt64(shift))
        return overflow ? .max : bytes
    }

    static func text(ofBytes bytes: UInt64) -> String {
        for (unit, shift) in [("GiB", UInt64(30)), ("MiB", 20), ("KiB", 10)] where bytes % (1 << shift) == 0 {
            return "\(bytes >> shift)\(unit)"
        }
        return "\(bytes) bytes"
    }

    /// What someone meant by `256`, `256MB`, `256Mi` or `256 MiB`.
    static func likelySize(_ text: String) -> String? {
        guard let (number, unit, _) = split(text), number > 0, number < 100_000 else { return nil }
        switch unit.lowercased() {
        case "k", "kb", "ki", "kib": return "\(number)KiB"
        case "", "m", "mb", "mi", "mib": return "\(number)MiB"
        case "g", "gb", "gi", "gib": return "\(number)GiB"
        default: return nil
        }
    }

    // MARK: Durations

    /// `500ms`, `60s`, `10m`, `1h` → milliseconds. nil when it isn't a duration; too large ones end at `Int.max`.
    static func durationInMilliseconds(_ text: String) -> Int? {
        guard let (number, unit, spaced) = split(text), !spaced, let factor = ["ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000][unit] else {
            return nil
        }
        guard let whole = Int(exactly: number) else { return .max }
        let (milliseconds, overflow) = whole.multipliedReportingOverflow(by: factor)
        return overflow ? .max : milliseconds
    }

    static func text(ofMilliseconds milliseconds: Int) -> String {
        for (unit, factor) in [("h", 3_600_000), ("m", 60_000), ("s", 1000)] where milliseconds % factor == 0 {
            return "\(milliseconds / factor)\(unit)"
        }
        return "\(milliseconds)ms"
    }

    /// What someone meant by `60`, `60 s`, `5min` or `2hours`.
    static func likelyDuration(_ text: String) -> String? {
        guard let (number, unit, _) = split(text), number > 0, number < 1_000_000 else { return nil }
        switch unit.lowercased() {
        case "ms", "msec", "millis", "milliseconds": return "\(number)ms"
        case "", "s", "sec", "secs", "second", "seconds": return "\(number)s"
        case "m", "min", "mins", "minute", "minutes": return "\(number)m"
        case "h", "hr", "hour", "hours": return "\(number)h"
        default: return nil
        }
    }

    // MARK: Processor

    /// `0.5` → 500 thousandths of a core. nil when it isn't a plain decimal of at most three places; too large ones end at `UInt32.max`.
    static func millicores(_ text: String) -> UInt32? {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = naturalNumber(parts[0]) else { return nil }
        var thousandths: UInt64 = 0
        if parts.count == 2 {
            let places = Array(parts[1].utf8)
            guard (1...18).contains(places.count), places.allSatisfy({ (48...57).contains($0) }),
                places.dropFirst(3).allSatisfy({ $0 == 48 })
            else { return nil }
            for place in 0..<3 { thousandths = thousandths * 10 + (place < places.count ? UInt64(places[place] - 48) : 0) }
        }
        return whole > 1 << 32 ? .max : UInt32(clamping: whole * 1000 + thousandths)
    }

    static func text(ofMillicores millicores: UInt32) -> String {
        guard millicores % 1000 != 0 else { return "\(millicores / 1000)" }
        let places = "\(1000 + millicores % 1000)".dropFirst()
        return "\(millicores / 1000).\(places.prefix(through: places.lastIndex { $0 != "0" } ?? places.startIndex))"
    }

    // MARK: Numbers

    /// Digits without a leading zero (which YAML 1.1 takes for octal); too large ones end at `UInt64.max`.
    static func naturalNumber(_ text: some StringProtocol) -> UInt64? {
        let digits = text.utf8
        guard let first = digits.first, digits.allSatisfy({ (48...57).contains($0) }), first != 48 || digits.count == 1 else { return nil }
        return UInt64(text) ?? .max
    }

    /// `256 MiB` → 256, `MiB`, and that a space stood between, which is a slip to be answered with a suggestion.
    private static func split(_ text: String) -> (number: UInt64, unit: String, spaced: Bool)? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let rest = text.dropFirst(digits.count)
        let unit = rest.drop { $0 == " " }
        guard unit.utf8.count <= 12, unit.allSatisfy({ $0.isASCII && $0.isLetter }), let number = naturalNumber(digits) else { return nil }
        return (number, String(unit), unit.startIndex != rest.startIndex)
    }
}
