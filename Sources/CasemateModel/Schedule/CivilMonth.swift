/// A month of the Gregorian calendar, also of years before there was one. Days are counted from 1970-01-01, which is 0.
struct CivilMonth {
    let year: Int64
    /// 1 to 12.
    let month: Int
    /// 28 to 31.
    let length: Int
    let firstDay: Int64

    /// - Parameter month: 1 to 12.
    init(year: Int64, month: Int) {
        self.year = year
        self.month = month
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        length = month == 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
        // Years that begin in March have their leap day at the end, and months whose lengths repeat: 153 days in five.
        let marchYear = month > 2 ? year : year - 1
        let (era, yearOfEra) = marchYear.flooredDivision(by: 400)
        let dayOfYear = (153 * Int64((month + 9) % 12) + 2) / 5
        firstDay = era * Self.daysInEra + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - Self.epoch
    }

    /// The month that `day` is in.
    init(of day: Int64) {
        let (era, dayOfEra) = (day + Self.epoch).flooredDivision(by: Self.daysInEra)
        // Leap days are taken out: one in 4 years, but not in 100, but in 400.
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = Int((5 * dayOfYear + 2) / 153)
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        self.init(year: era * 400 + yearOfEra + (month > 2 ? 0 : 1), month: month)
    }

    /// 400 years, after which the calendar repeats, weekdays too.
    private static let daysInEra: Int64 = 146_097
    /// From 0000-03-01 to 1970-01-01.
    private static let epoch: Int64 = 719_468

    var next: CivilMonth { month < 12 ? CivilMonth(year: year, month: month + 1) : CivilMonth(year: year + 1, month: 1) }

    /// Of its first day; Sunday is 0, and 1970-01-01 was a Thursday.
    var firstWeekday: Int { Int((firstDay + 4).flooredDivision(by: 7).remainder) }
}

extension Int64 {
    /// Towards the past, also before 1970, so that the remainder is never negative.
    func flooredDivision(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
