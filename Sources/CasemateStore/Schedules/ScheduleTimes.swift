import CasemateModel

/// When something is to happen: an expression and the place whose clocks it means.
public struct ScheduleTimes: Sendable {
    public let cron: CronExpression
    public let timeZone: String
    private let zone: SystemZone

    /// - Throws: `.invalidSchedule` saying what is wrong.
    public init(cron: String, timeZone: String) throws(Problem) {
        do throws(Problem) { self.cron = try CronExpression(cron) } catch { throw Problem(.invalidSchedule, error.detail) }
        guard let zone = SystemZone(timeZone) else {
            throw Problem(.invalidSchedule, "there is no time zone \"\(timeZone.prefix(60))\"; write one like Europe/Berlin, or UTC")
        }
        self.zone = zone
        self.timeZone = timeZone
    }

    public func next(after time: Timestamp) -> Timestamp? { cron.next(after: time, in: zone) }
}
