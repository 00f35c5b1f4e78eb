/// Values of so simple a pattern that who guesses tries them first. Time is linear in the value.
enum SimplePattern {
    /// Rows of keyboards, each read in both directions.
    private static let rows = ["1234567890", "qwertyuiop", "qwertzuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm"].map { Array($0.utf8) }

    static func describes(_ value: [UInt8]) -> Bool {
        guard value.count > 1 else { return !value.isEmpty }
        return repeats(value) || isMadeOfRuns(value) || hasFewBytes(value)
    }

    /// `abcabcabc`: what is said again and again is itself under eight bytes.
    private static func repeats(_ value: [UInt8]) -> Bool {
        (1..<min(Spellings.shortestNeedle, value.count / 2 + 1)).contains { period in
            (period..<value.count).allSatisfy { value[$0] == value[$0 - period] }
        }
    }

    /// `12345678`, `qwertyuiop`, `aaaabbbb`, `abc-12345678`: at least three bytes a run on average.
    private static func isMadeOfRuns(_ value: [UInt8]) -> Bool {
        let lower = value.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0 }
        var runs = 1
        var going = steps(from: lower[0], to: lower[1])
        for index in 1..<lower.count {
            going &= steps(from: lower[index - 1], to: lower[index])
            guard going == 0 else { continue }
            runs += 1
            if runs > value.count / 3 { return false }
            going = index + 1 < lower.count ? steps(from: lower[index], to: lower[index + 1]) : 0
        }
        return true
    }

    /// The directions in which one byte leads to the other: a bit for none, two for the alphabet, two for each row of keys.
    private static func steps(from first: UInt8, to second: UInt8) -> UInt32 {
        if first == second { return 1 }
        var steps: UInt32 = first &+ 1 == second ? 2 : second &+ 1 == first ? 4 : 0
        for (number, row) in rows.enumerated() {
            guard let from = row.firstIndex(of: first), let to = row.firstIndex(of: second), abs(from - to) == 1 else { continue }
            steps |= (to > from ? 8 : 16) << UInt32(2 * number)
        }
        return steps
    }

    /// `abababba`: fewer than 2^32 values have as few different bytes and this length.
    private static func hasFewBytes(_ value: [UInt8]) -> Bool {
        guard (Spellings.shortestNeedle...32).contains(value.count) else { return false }
        let different = Set(value).count
        return different <= 2 || (different <= 4 && value.count <= 16)
    }
}
