extension CronExpression {
    /// The first instant after `after` that it names in `zone`, or nil if there is none in fifty years (29 February is on a given day of the
    /// week once in forty at worst).
    ///
    /// Where the clocks are changed:
    /// - an hour that begins with `*` is elapsed time: what the clock shows twice comes twice, and what it skips does not come.
    /// - any other hour is the clock's: each time comes once, the first time the clock shows it, and times that it skips come together as it
    ///   skips them.
    public func next(after: Timestamp, in zone: some TimeZoneRules) -> Timestamp? {
        let from = after.milliseconds.flooredDivision(by: 1000).quotient + 1
        let end = from + Self.horizon
        // The walk is along stretches of one offset each. It begins early enough to know what the clock showed before `from`.
        var start = from - Self.reach
        // What the clock has shown by `start`: everything below. Local times are seconds as if the clock were UTC's.
        var shown = start + Int64(zone.offset(at: start))
        while start < end {
            // No time of a day is shown, or skipped, further than `reach` from where UTC has it. Before that there is nothing to look at.
            guard let day = nextDay(from: Self.day(start - Self.reach), before: Self.day(end) + 2) else { return nil }
            if day * 86_400 - Self.reach > start {
                start = day * 86_400 - Self.reach
                shown = start + Int64(zone.offset(at: start))
            }
            let offset = Int64(zone.offset(at: start))
            let stop = zone.nextTransition(after: start) ?? end
            let earliest =
                if isByElapsedTime { max(start, from) + offset } else if start < from { max(shown, from + offset) } else { shown }
            if let local = nextLocalTime(from: earliest, before: stop + offset) {
                // Below the stretch's own first reading are the times that it skipped.
                let (milliseconds, isTooLate) = max(start, local - offset).multipliedReportingOverflow(by: 1000)
                return isTooLate ? nil : Timestamp(milliseconds: milliseconds)
            }
            shown = max(shown, stop + offset)
            start = stop
        }
        return nil
    }

    private static let horizon: Int64 = 50 * 366 * 86_400
    /// More than any offset and any change of one.
    private static let reach: Int64 = 3 * 86_400

    private static func day(_ seconds: Int64) -> Int64 { seconds.flooredDivision(by: 86_400).quotient }

    /// The first full minute from `earliest` on that matches.
    private func nextLocalTime(from earliest: Int64, before limit: Int64) -> Int64? {
        guard earliest < limit else { return nil }
        let minute = (earliest + 59).flooredDivision(by: 60).quotient
        let (today, minuteOfDay) = minute.flooredDivision(by: 1440)
        let lastDay = Self.day(limit - 1)
        guard var day = nextDay(from: today, before: lastDay + 1) else { return nil }
        var time = nextTime(from: day == today ? Int(minuteOfDay) : 0)
        if time == nil {
            guard let later = nextDay(from: day + 1, before: lastDay + 1) else { return nil }
            (day, time) = (later, nextTime(from: 0))
        }
        guard let time else { return nil }
        let local = day * 86_400 + Int64(time) * 60
        return local < limit ? local : nil
    }

    /// The first minute of a day, from `minuteOfDay` on, that matches.
    private func nextTime(from minuteOfDay: Int) -> Int? {
        let (hour, minute) = minuteOfDay.quotientAndRemainder(dividingBy: 60)
        if hours >> UInt64(hour) & 1 != 0, let minute = minutes.firstBit(from: minute) { return hour * 60 + minute }
        guard let hour = hours.firstBit(from: hour + 1), let minute = minutes.firstBit(from: 0) else { return nil }
        return hour * 60 + minute
    }

    /// The first day from `day` on that matches.
    private func nextDay(from day: Int64, before limit: Int64) -> Int64? {
        var month = CivilMonth(of: day)
        var first = Int(day - month.firstDay) + 1
        while month.firstDay < limit {
            if months >> UInt64(month.month) & 1 != 0, let found = days(of: month).firstBit(from: first) {
                let day = month.firstDay + Int64(found) - 1
                return day < limit ? day : nil
            }
            month = month.next
            first = 1
        }
        return nil
    }

    /// The month's days that match, from bit 1.
    private func days(of month: CivilMonth) -> UInt64 {
        // Six weeks, of which the month's first day is in the first.
        let weeks = (0..<6).reduce(0) { $0 | daysOfWeek << UInt64(7 * $1) }
        let byWeek = (weeks >> UInt64(month.firstWeekday)) << 1
        let either = matchesEitherDay ? daysOfMonth | byWeek : daysOfMonth & byWeek
        return either & .bits(1...month.length)
    }
}
