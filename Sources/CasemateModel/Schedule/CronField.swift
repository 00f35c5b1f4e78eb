/// One of the five fields of a cron expression: how messages call it, its numbers, and their names.
struct CronField {
    let name: String
    let numbers: ClosedRange<Int>
    /// From the first number on.
    let names: [String]
    /// The last number of `*` and of `a/n`: there Sunday is only the week's first day.
    let last: Int

    static let minute = CronField("minute", 0...59)
    static let hour = CronField("hour", 0...23)
    static let dayOfMonth = CronField("day of month", 1...31)
    static let month = CronField(
        "month", 1...12, names: ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"])
    static let dayOfWeek = CronField("day of week", 0...7, names: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], last: 6)

    private static let mostItems = 100

    private init(_ name: String, _ numbers: ClosedRange<Int>, names: [String] = [], last: Int? = nil) {
        self.name = name
        self.numbers = numbers
        self.names = names
        self.last = last ?? numbers.upperBound
    }

    /// The field's numbers, a bit for each. A Sunday written as 7 is bit 0.
    func bits(_ field: Substring) throws(Problem) -> UInt64 {
        let items = field.split(separator: ",", maxSplits: Self.mostItems, omittingEmptySubsequences: false)
        guard items.count <= Self.mostItems else {
            throw Problem(.invalidRequest, "the \(name): a list has at most \(Self.mostItems) items")
        }
        var bits: UInt64 = 0
        for item in items {
            guard !item.isEmpty else { throw refusal(field, "a list has something before and after each comma") }
            bits |= try self.bits(item: item)
        }
        return last < numbers.upperBound ? bits & ~(1 << UInt64(last + 1)) | bits >> UInt64(last + 1) & 1 : bits
    }

    private func bits(item: Substring) throws(Problem) -> UInt64 {
        let parts = item.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2 else { throw refusal(item, "write \(allowed), and one step") }
        let ends = parts[0].split(separator: "-", omittingEmptySubsequences: false)
        guard !ends.contains("") else { throw refusal(item, "write \(allowed)") }
        let (low, high): (Int, Int)
        if parts[0] == "*" {
            (low, high) = (numbers.lowerBound, last)
        } else if ends.count == 1 {
            low = try number(ends[0])
            high = parts.count == 1 ? low : last
        } else {
            guard ends.count == 2 else { throw refusal(item, "write \(allowed), and a range as two of them") }
            (low, high) = (try number(ends[0]), try number(ends[1]))
            guard low <= high else {
                let parts = (low <= last ? [low...last] : []) + [numbers.lowerBound...high]
                throw refusal(item, "a range goes up; write \(parts.map(Self.span).joined(separator: ","))")
            }
        }
        guard parts.count == 2 else { return .bits(low...high) }
        guard let step = Self.number(parts[1]), step > 0 else { throw refusal(item, "a step is a number from 1") }
        guard step <= high - low else { throw refusal(item, "the step leads beyond \(max(low, high)); write \(low)") }
        return stride(from: low, through: high, by: step).reduce(0) { $0 | .bits($1...$1) }
    }

    private func number(_ text: Substring) throws(Problem) -> Int {
        if let number = Self.number(text), numbers.contains(number) { return number }
        if let index = names.firstIndex(of: text.uppercased()) { return numbers.lowerBound + index }
        let sign = text.drop { $0.isNumber }.uppercased()
        let isOthers = ["L", "W", "LW"].contains(sign) || sign.contains("?") || sign.contains("#")
        throw refusal(text, "write \(allowed)\(isOthers ? "; ?, L, W and # mean nothing here" : "")")
    }

    private static func number(_ text: Substring) -> Int? {
        text.utf8.allSatisfy { (48...57).contains($0) } ? Int(text) : nil
    }

    private static func span(_ range: ClosedRange<Int>) -> String {
        range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
    }

    private var allowed: String {
        let spoken = "\(numbers.lowerBound) to \(numbers.upperBound)"
        guard let first = names.first, let last = names.last else { return spoken }
        return "\(spoken) or \(first) to \(last)"
    }

    private func refusal(_ text: Substring, _ rule: String) -> Problem { Problem(.invalidRequest, "the \(name) \"\(text)\": \(rule)") }
}

extension UInt64 {
    /// Those bits set, all below 64.
    static func bits(_ range: ClosedRange<Int>) -> UInt64 { (UInt64.max >> UInt64(64 - range.count)) << UInt64(range.lowerBound) }

    /// The lowest bit that is set, from `position` on.
    func firstBit(from position: Int) -> Int? {
        let rest = (self >> UInt64(position)) << UInt64(position)
        return rest == 0 ? nil : rest.trailingZeroBitCount
    }
}
