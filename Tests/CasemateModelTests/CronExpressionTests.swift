import Testing

@testable import CasemateModel

@Suite("Cron expressions")
struct CronExpressionTests {
    @Test(
        "two spellings of one schedule are the same numbers",
        arguments: [
            ("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@midnight", "0 0 * * *"), ("@weekly", "0 0 * * SUN"),
            ("@monthly", "0 0 1 * *"), ("@yearly", "0 0 1 1 *"), ("@Annually", "0 0 1 JAN *"), (" 0\t0  * * * ", "0 0 * * *"),
            ("05 08 * * *", "5 8 * * *"), ("*/20 * * * *", "0,20,40 * * * *"), ("7/20 1 * * *", "7,27,47 1 * * *"),
            ("10-30/10 1 * * *", "10,20,30 1 * * *"), ("5-5 1 * * *", "5 1 * * *"), ("0-59 1 * * *", "*,3 1 * * *"),
            ("0 0 1 jan-Jun/2 *", "0 0 1 1,3,5 *"), ("0 0 1 NOV/1 *", "0 0 1 11,12 *"), ("0 0 30/1 * *", "0 0 30,31 * *"),
            ("0 0 * * mon-fri", "0 0 * * 1,2,3,4,5"), ("0 0 * * 7", "0 0 * * 0"), ("0 0 * * FRI-7", "0 0 * * 0,5,6"),
            ("0 0 * * 0-7", "0 0 * * 0-6"), ("0 0 * * 1-7/2", "0 0 * * 0,1,3,5"), ("0 0 * * 4/2", "0 0 * * 4,6"),
        ])
    func spellings(text: String, plain: String) throws {
        let (one, other) = (try CronExpression(text), try CronExpression(plain))
        #expect(one.description == text)
        #expect(one.minutes == other.minutes && one.hours == other.hours && one.months == other.months)
        #expect(one.daysOfMonth == other.daysOfMonth && one.daysOfWeek == other.daysOfWeek)
    }

    @Test(
        "what is wrong is told with its field, what stands there and what may",
        arguments: [
            ("0 25 * * *", "the hour \"25\": write 0 to 23"),
            ("60 * * * *", "the minute \"60\": write 0 to 59"),
            ("1,99999999999999999999 * * * *", "the minute \"99999999999999999999\": write 0 to 59"),
            ("-1 * * * *", "the minute \"-1\": write 0 to 59"),
            ("1- * * * *", "the minute \"1-\": write 0 to 59"),
            ("/5 * * * *", "the minute \"/5\": write 0 to 59"),
            ("+1 * * * *", "the minute \"+1\": write 0 to 59"),
            ("1-2-3 * * * *", "the minute \"1-2-3\": write 0 to 59, and a range as two of them"),
            ("0 0 0 * *", "the day of month \"0\": write 1 to 31"),
            ("0 0 1 13 *", "the month \"13\": write 1 to 12 or JAN to DEC"),
            ("0 0 1 JANUARY *", "the month \"JANUARY\": write 1 to 12 or JAN to DEC"),
            ("0 0 * * 8", "the day of week \"8\": write 0 to 7 or SUN to SAT"),
            ("0 JAN * * *", "the hour \"JAN\": write 0 to 23"),
            ("0 0 * MON *", "the month \"MON\": write 1 to 12 or JAN to DEC"),
            ("0 0 ? * *", "the day of month \"?\": write 1 to 31; ?, L, W and # mean nothing here"),
            ("0 0 L * *", "the day of month \"L\": write 1 to 31; ?, L, W and # mean nothing here"),
            ("0 0 15W * *", "the day of month \"15W\": write 1 to 31; ?, L, W and # mean nothing here"),
            ("0 0 * * 5L", "the day of week \"5L\": write 0 to 7 or SUN to SAT; ?, L, W and # mean nothing here"),
            ("0 0 * * MON#2", "the day of week \"MON#2\": write 0 to 7 or SUN to SAT; ?, L, W and # mean nothing here"),
            ("1,,2 * * * *", "the minute \"1,,2\": a list has something before and after each comma"),
            ("1, * * * *", "the minute \"1,\": a list has something before and after each comma"),
            ("*/0 * * * *", "the minute \"*/0\": a step is a number from 1"),
            ("*/ * * * *", "the minute \"*/\": a step is a number from 1"),
            ("*/-1 * * * *", "the minute \"*/-1\": a step is a number from 1"),
            ("*/2/2 * * * *", "the minute \"*/2/2\": write 0 to 59, and one step"),
            ("*/60 * * * *", "the minute \"*/60\": the step leads beyond 59; write 0"),
            ("50/10 * * * *", "the minute \"50/10\": the step leads beyond 59; write 50"),
            ("0 10-12/3 * * *", "the hour \"10-12/3\": the step leads beyond 12; write 10"),
            ("0 0 * * */7", "the day of week \"*/7\": the step leads beyond 6; write 0"),
            ("0 0 * * 7/1", "the day of week \"7/1\": the step leads beyond 7; write 7"),
            ("0 22-3 * * *", "the hour \"22-3\": a range goes up; write 22-23,0-3"),
            ("0 0 * * 5-1", "the day of week \"5-1\": a range goes up; write 5-6,0-1"),
            ("0 0 * * 7-2", "the day of week \"7-2\": a range goes up; write 0-2"),
            ("0 0 * * SAT-SUN", "the day of week \"SAT-SUN\": a range goes up; write 6,0"),
            ("0 0 31 2 *", "\"0 0 31 2 *\" never comes: no month of it has such a day"),
            ("0 0 30 2 *", "\"0 0 30 2 *\" never comes: no month of it has such a day"),
            ("0 0 31 4,6,9,11 *", "\"0 0 31 4,6,9,11 *\" never comes: no month of it has such a day"),
            ("0 0 30,31 2 */2", "\"0 0 30,31 2 */2\" never comes: no month of it has such a day"),
            ("@reboot", "\"@reboot\" is no schedule: write @hourly, @daily, @weekly, @monthly, @yearly or five fields"),
        ])
    func refusals(text: String, told: String) { #expect(refusal(text) == told) }

    @Test(
        "five fields, no more and no fewer", arguments: [(0, ""), (0, "  "), (4, "0 0 * *"), (6, "0 0 0 * * *"), (7, "0 0 0 * * * 2026")])
    func fields(count: Int, text: String) throws {
        let told = try #require(refusal(text))
        #expect(told.contains("five fields") && told.contains("no seconds or years") && told.hasSuffix(" \(count)"))
    }

    @Test("one line of ASCII, not longer than its limits")
    func limits() throws {
        for text in ["０ 0 * * *", "0 0 * * *\n", "0\r\n0 * * *", "0 0 * *\u{a0}*", "0 0 * * *\0", "0 0 * * ſun"] {
            #expect(refusal(text)?.contains("ASCII") == true)
        }
        let line = "0 0 * * *"
        #expect(refusal(line + String(repeating: " ", count: 256 - line.utf8.count)) == nil)
        #expect(refusal(line + String(repeating: " ", count: 257 - line.utf8.count))?.contains("256") == true)
        let items = Array(repeating: "1", count: 100).joined(separator: ",")
        #expect(refusal("\(items) 0 * * *") == nil)
        #expect(refusal("\(items),1 0 * * *") == "the minute: a list has at most 100 items")
    }

    @Test(
        "a day matches by either field where neither begins with a star, else by both",
        arguments: [
            // May 2026 begins on a Friday.
            ("0 0 13 5 FRI", [1, 8, 13, 15, 22, 29]), ("0 0 13 5 *", [13]), ("0 0 * 5 FRI", [1, 8, 15, 22, 29]),
            ("0 0 */2 5 FRI", [1, 15, 29]), ("0 0 1-7 5 */5", [1, 3]), ("0 0 1-31 5 FRI", Array(1...31)),
            ("0 0 *,3 5 5", [1, 8, 15, 22, 29]),
            // A field that no day of the month has leaves the other.
            ("0 0 31 6 MON", [1, 8, 15, 22, 29]),
        ] as [(String, [Int])])
    func dayRule(text: String, days: [Int]) throws {
        let month = text.contains(" 6 ") ? 6 : 5
        let times = instants(text, from: time(2026, month, 1), until: time(2026, month + 1, 1))
        #expect(times == days.map { "2026-0\(month)-\($0 < 10 ? "0" : "")\($0)T00:00" })
    }

    @Test("29 February comes in leap years, and on a day of the week at last")
    func leapDays() {
        let leap = instants("0 0 29 2 *", from: time(2024, 1, 1), until: time(2041, 1, 1))
        #expect(leap == ["2024-02-29T00:00", "2028-02-29T00:00", "2032-02-29T00:00", "2036-02-29T00:00", "2040-02-29T00:00"])
        // 2100 is no leap year.
        #expect(instants("0 0 29 2 *", from: time(2096, 3, 1), until: time(2105, 1, 1)) == ["2104-02-29T00:00"])
        // A Sunday, and the next Saturday.
        #expect(instants("0 0 29 2 */6", from: time(2088, 1, 1), until: time(2117, 1, 1)) == ["2088-02-29T00:00", "2116-02-29T00:00"])
    }

    @Test("the next is later, by a millisecond at least")
    func strictlyAfter() throws {
        let daily = try CronExpression("30 6 * * *")
        let six = time(2026, 1, 1, 6, 30)
        #expect(daily.next(after: six.advanced(byMilliseconds: -1), in: FixedOffset.utc) == six)
        #expect(daily.next(after: six, in: FixedOffset.utc) == time(2026, 1, 2, 6, 30))
        #expect(daily.next(after: six.advanced(byMilliseconds: 1), in: FixedOffset.utc) == time(2026, 1, 2, 6, 30))
        #expect(daily.next(after: Timestamp(milliseconds: -1), in: FixedOffset.utc) == time(1970, 1, 1, 6, 30))
        #expect(daily.next(after: time(1969, 12, 30, 7), in: FixedOffset.utc) == time(1969, 12, 31, 6, 30))
    }

    @Test("an offset shifts local time, also by minutes and seconds")
    func offsets() throws {
        let noon = try CronExpression("0 12 * * *")
        for (seconds, expected) in [
            (19_800, time(2026, 1, 1, 6, 30)), (-12_600, time(2026, 1, 1, 15, 30)), (50_400, time(2025, 12, 31, 22)),
            (1172, time(2026, 1, 1, 11, 40).advanced(byMilliseconds: 28_000)),
        ] {
            let zone = try #require(FixedOffset(secondsEast: seconds))
            #expect(noon.next(after: expected.advanced(byMilliseconds: -1000), in: zone) == expected)
        }
        #expect(FixedOffset(secondsEast: 86_400) == nil)
        #expect(FixedOffset(secondsEast: 0) == .utc)
    }

    @Test("the ends of time are no trap", arguments: [Int64.min, Int64.min + 1, Int64.max - 1, Int64.max])
    func extremes(milliseconds: Int64) throws {
        let next = try CronExpression("0 0 29 2 *").next(after: Timestamp(milliseconds: milliseconds), in: FixedOffset.utc)
        #expect((next == nil) == (milliseconds > 0))
    }

    @Test("months and days are those of gmtime")
    func calendar() {
        for day in stride(from: Int64(0), through: 200_000, by: 11) {
            let month = CivilMonth(of: day)
            let text = Timestamp(milliseconds: day * 86_400_000).rfc3339.split { $0 == "-" || $0 == "T" }.prefix(3).compactMap { Int($0) }
            #expect(text == [Int(month.year), month.month, Int(day - month.firstDay) + 1])
            #expect(month.next.firstDay == month.firstDay + Int64(month.length))
        }
        #expect(CivilMonth(year: 1600, month: 3).firstDay == -135_080)
        #expect(CivilMonth(of: -135_081).length == 29)
    }
}

@Suite("Cron expressions where clocks are changed")
struct CronExpressionClockTests {
    /// Central Europe in 2025: from 02:00 to 03:00 on 30 March, from 03:00 back to 02:00 on 26 October.
    private let berlin = Clocks(3600, [(time(2025, 3, 30, 1), 7200), (time(2025, 10, 26, 1), 3600)])
    /// Half an hour: from 02:00 to 02:30 on 5 October 2025, from 02:00 back to 01:30 on 5 April 2026.
    private let lordHowe = Clocks(37_800, [(time(2025, 10, 4, 15, 30), 39_600), (time(2026, 4, 4, 15), 37_800)])
    /// From 29 December 2011, 24:00, to 31 December, 00:00.
    private let apia = Clocks(-36_000, [(time(2011, 12, 30, 10), 50_400)])

    @Test(
        "a time that the clock skips comes as it is skipped, once with all others and with what is due then",
        arguments: [
            ("30 2 * * *", ["2025-03-29T01:30", "2025-03-30T01:00", "2025-03-31T00:30"]),
            ("0 2 * * *", ["2025-03-29T01:00", "2025-03-30T01:00", "2025-03-31T00:00"]),
            ("0,15,59 2 30 * *", ["2025-03-30T01:00"]),
            ("0 2,3 30 * *", ["2025-03-30T01:00"]),
            ("0-59/20 2-3 30 * *", ["2025-03-30T01:00", "2025-03-30T01:20", "2025-03-30T01:40"]),
            ("0 3 30 * *", ["2025-03-30T01:00"]),
            ("59 1 30 * *", ["2025-03-30T00:59"]),
        ])
    func gapByTheClock(text: String, times: [String]) {
        #expect(instants(text, from: time(2025, 3, 29), until: time(2025, 3, 31, 12), in: berlin) == times)
    }

    @Test(
        "a time that the clock shows twice comes the first time",
        arguments: [
            ("30 2 * * *", ["2025-10-25T00:30", "2025-10-26T00:30", "2025-10-27T01:30"]),
            ("0 2 * * *", ["2025-10-25T00:00", "2025-10-26T00:00", "2025-10-27T01:00"]),
            ("0,59 2,3 26 * *", ["2025-10-26T00:00", "2025-10-26T00:59", "2025-10-26T02:00", "2025-10-26T02:59"]),
            ("0 0-4/2 26 * *", ["2025-10-25T22:00", "2025-10-26T00:00", "2025-10-26T03:00"]),
        ])
    func overlapByTheClock(text: String, times: [String]) {
        #expect(instants(text, from: time(2025, 10, 24, 12), until: time(2025, 10, 27, 12), in: berlin) == times)
    }

    @Test("inside an overlap the second showing is known from any instant")
    func insideTheOverlap() throws {
        let clock = try CronExpression("30,45 2 * * *")
        for minute in 0..<60 {
            #expect(clock.next(after: time(2025, 10, 26, 1, minute), in: berlin) == time(2025, 10, 27, 1, 30))
        }
        let elapsed = try CronExpression("30 * * * *")
        #expect(elapsed.next(after: time(2025, 10, 26, 0, 30), in: berlin) == time(2025, 10, 26, 1, 30))
    }

    @Test("an hour that begins with a star is elapsed time: twice in an overlap, not in a gap")
    func elapsedTime() {
        let gap = instants("30 * * * *", from: time(2025, 3, 30), until: time(2025, 3, 30, 3), in: berlin)
        #expect(gap == ["2025-03-30T00:30", "2025-03-30T01:30", "2025-03-30T02:30"])
        let skipped = instants("30 */2 * * *", from: time(2025, 3, 29, 23), until: time(2025, 3, 30, 4), in: berlin)
        #expect(skipped == ["2025-03-29T23:30", "2025-03-30T02:30"])
        let overlap = instants("30 */2 * * *", from: time(2025, 10, 26), until: time(2025, 10, 26, 4), in: berlin)
        #expect(overlap == ["2025-10-26T00:30", "2025-10-26T01:30", "2025-10-26T03:30"])
        let minutes = instants("* * * * *", from: time(2025, 10, 25), until: time(2025, 10, 27), in: berlin)
        #expect(minutes.count == 2 * 1440)
    }

    @Test("a change of half an hour")
    func halfAnHour() {
        let (spring, autumn) = (time(2025, 10, 4, 14), time(2026, 4, 4, 13))
        #expect(instants("15 2 * * *", from: spring, until: time(2025, 10, 5), in: lordHowe) == ["2025-10-04T15:30"])
        #expect(
            instants("0,45 2 * * *", from: spring, until: time(2025, 10, 5), in: lordHowe) == ["2025-10-04T15:30", "2025-10-04T15:45"])
        #expect(instants("45 1 * * *", from: autumn, until: time(2026, 4, 5), in: lordHowe) == ["2026-04-04T14:45"])
        #expect(
            instants("15,45 1-2/1 * * *", from: autumn, until: time(2026, 4, 4, 18), in: lordHowe)
                == ["2026-04-04T14:15", "2026-04-04T14:45", "2026-04-04T15:45", "2026-04-04T16:15"])
        #expect(
            instants("45 * * * *", from: autumn, until: time(2026, 4, 4, 16), in: lordHowe)
                == ["2026-04-04T13:45", "2026-04-04T14:45", "2026-04-04T15:15"])
    }

    @Test(
        "a day that is left out is a gap",
        arguments: [
            ("0 9 * * *", ["2011-12-29T19:00", "2011-12-30T10:00", "2011-12-30T19:00"]),
            ("0 0 * * *", ["2011-12-29T10:00", "2011-12-30T10:00", "2011-12-31T10:00"]),
            ("0 9 30 12 *", ["2011-12-30T10:00"]), ("30 * 30 12 *", []), ("0 9 * * FRI", ["2011-12-30T10:00"]),
            ("30 */12 * * *", ["2011-12-29T10:30", "2011-12-29T22:30", "2011-12-30T10:30", "2011-12-30T22:30", "2011-12-31T10:30"]),
        ] as [(String, [String])])
    func leftOut(text: String, times: [String]) {
        #expect(instants(text, from: time(2011, 12, 29), until: time(2011, 12, 31, 12), in: apia) == times)
    }

    @Test("a change at midnight, forth and back")
    func midnight() {
        // 00:00 to 01:00 on 30 March, 24:00 back to 23:00 on 25 October.
        let beirut = Clocks(7200, [(time(2025, 3, 29, 22), 10_800), (time(2025, 10, 25, 21), 7200)])
        #expect(
            instants("0 0 * * *", from: time(2025, 3, 28, 12), until: time(2025, 3, 31), in: beirut)
                == ["2025-03-28T22:00", "2025-03-29T22:00", "2025-03-30T21:00"])
        #expect(instants("30 0 30 3 *", from: time(2025, 3, 28), until: time(2025, 4, 2), in: beirut) == ["2025-03-29T22:00"])
        #expect(
            instants("30 23 * * *", from: time(2025, 10, 25), until: time(2025, 10, 27), in: beirut)
                == ["2025-10-25T20:30", "2025-10-26T21:30"])
        #expect(
            instants("0 0 * * *", from: time(2025, 10, 24, 22), until: time(2025, 10, 27), in: beirut)
                == ["2025-10-25T22:00", "2025-10-26T22:00"])
    }

    @Test("what comes rarely is found beyond many changes")
    func rare() {
        let years = (2000..<2100).flatMap { year in
            [(time(year, 3, 30, 1), 7200), (time(year, 10, 26, 1), 3600)]
        }
        let clocks = Clocks(3600, years)
        #expect(
            instants("30 2 29 2 */6", from: time(2033, 1, 1), until: time(2061, 1, 1), in: clocks) == [
                "2048-02-29T01:30", "2060-02-29T01:30",
            ])
        #expect(
            instants("0 0 29 2 *", from: time(2090, 1, 1), until: time(2105, 1, 1), in: clocks) == [
                "2092-02-28T23:00", "2096-02-28T23:00", "2104-02-28T23:00",
            ])
    }
}

/// Clocks with the changes that a test gives them.
private struct Clocks: TimeZoneRules {
    private let first: Int
    private let changes: [(at: Int64, offset: Int)]

    init(_ first: Int, _ changes: [(at: Timestamp, offset: Int)]) {
        self.first = first
        self.changes = changes.map { ($0.at.milliseconds / 1000, $0.offset) }
    }

    func offset(at seconds: Int64) -> Int { changes.last { $0.at <= seconds }?.offset ?? first }
    func nextTransition(after seconds: Int64) -> Int64? { changes.first { $0.at > seconds }?.at }
}

/// UTC.
private func time(_ year: Int64, _ month: Int, _ day: Int, _ hour: Int = 0, _ minute: Int = 0) -> Timestamp {
    let days = CivilMonth(year: year, month: month).firstDay + Int64(day) - 1
    return Timestamp(milliseconds: (days * 1440 + Int64(hour * 60 + minute)) * 60_000)
}

/// To the minute, UTC.
private func instants(
    _ text: String, from: Timestamp, until: Timestamp, in zone: some TimeZoneRules = FixedOffset.utc
) -> [String] {
    guard let expression = try? CronExpression(text) else { return ["refused"] }
    let all = sequence(first: from.advanced(byMilliseconds: -1)) { expression.next(after: $0, in: zone) }
    return all.dropFirst().prefix { $0 < until }.map { String($0.rfc3339.prefix(16)) }
}

private func refusal(_ text: String) -> String? {
    do throws(Problem) {
        _ = try CronExpression(text)
        return nil
    } catch { return error.detail }
}
