/// When something is to happen, in the five fields of crontab(5): minute, hour, day of month, month, day of week.
///
/// A field is `*`, a number, a name of a month or day, a range, or a list of these; `/n` takes each n-th, and `a/n` goes to the field's end.
/// There are no seconds or years. An expression that no day of the calendar satisfies is none.
public struct CronExpression: Hashable, Sendable, CustomStringConvertible {
    /// As it was written.
    public let description: String

    // A bit for each number.
    let minutes: UInt64
    let hours: UInt64
    /// From bit 1.
    let daysOfMonth: UInt64
    /// From bit 1.
    let months: UInt64
    /// Sunday is bit 0.
    let daysOfWeek: UInt64

    /// A day matches by either field, as crontab(5) has it where both are restricted: neither begins with `*`. Else it must match by both.
    let matchesEitherDay: Bool

    /// The hour begins with `*`: the expression is meant by elapsed time, not by the clock. `next(after:in:)` has what that changes.
    let isByElapsedTime: Bool

    private static let forms: [String: String] = [
        "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
        "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
    ]

    /// From five fields with blanks between them, or `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly` or `@annually`.
    /// - Throws: `.invalidRequest`, with the field, what stands there and what may.
    public init(_ text: some StringProtocol) throws(Problem) {
        guard text.utf8.count <= 256, text.utf8.allSatisfy({ (32...126).contains($0) || $0 == UInt8(ascii: "\t") }) else {
            throw Problem(.invalidRequest, "a cron expression is one line of at most 256 ASCII characters")
        }
        description = String(text)
        var fields = description.split { $0 == " " || $0 == "\t" }
        if fields.count == 1, fields[0].hasPrefix("@") {
            guard let form = Self.forms[fields[0].lowercased()] else {
                throw Problem(
                    .invalidRequest, "\"\(fields[0])\" is no schedule: write @hourly, @daily, @weekly, @monthly, @yearly or five fields")
            }
            fields = form.split(separator: " ")
        }
        guard fields.count == 5 else {
            throw Problem(
                .invalidRequest,
                "a cron expression has five fields (minute, hour, day of month, month, day of week) and no seconds or years; this one has "
                    + "\(fields.count)")
        }
        minutes = try CronField.minute.bits(fields[0])
        hours = try CronField.hour.bits(fields[1])
        daysOfMonth = try CronField.dayOfMonth.bits(fields[2])
        months = try CronField.month.bits(fields[3])
        daysOfWeek = try CronField.dayOfWeek.bits(fields[4])
        matchesEitherDay = !fields[2].hasPrefix("*") && !fields[4].hasPrefix("*")
        isByElapsedTime = fields[1].hasPrefix("*")
        guard matchesEitherDay || hasDay else {
            throw Problem(.invalidRequest, "\"\(description)\" never comes: no month of it has such a day")
        }
    }

    /// Whether some month has one of the days, in leap years at least. In 400 years each date falls on each day of the week.
    private var hasDay: Bool {
        (1...12).contains { month in
            months >> UInt64(month) & 1 != 0 && daysOfMonth & .bits(1...CivilMonth(year: 2000, month: month).length) != 0
        }
    }
}
