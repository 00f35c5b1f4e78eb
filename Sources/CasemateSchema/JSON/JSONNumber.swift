/// A number of JSON, exactly: 0.d₁d₂d₃… × 10^order. Binary floating point holds neither 0.1 nor 9007199254740993.
///
/// Each value has one form, so that equal numbers are equal member by member.
public struct JSONNumber: Hashable, Sendable {
    /// Digits in one number, as written.
    static let mostDigits = 1000
    /// Of the exponent, as written. A double has none beyond 308 and -324.
    static let mostExponent = 400
    /// Significant digits in `head`; ten times what they can be still fits into 64 bits.
    static let headDigits = 18

    /// The first 18 significant digits, filled up with zeros, under the number's sign. 0 for zero alone.
    let head: Int64
    /// The digits after those, without zeros at the end.
    let tail: [UInt8]
    /// The place of the first digit: 1 for 1 to 9, 0 for 0.1 to 0.9.
    let order: Int16

    /// The digits of a whole number, without zeros at its end, and how many zeros those are.
    private var wholeHead: (digits: UInt64, zeros: Int) {
        var digits = head.magnitude
        var zeros = 0
        while digits > 0, digits % 10 == 0 {
            digits /= 10
            zeros += 1
        }
        return (digits, zeros)
    }

    /// The place of the last digit that isn't zero: 0 for the ones, -1 for the tenths.
    private var lastPlace: Int {
        tail.isEmpty ? Int(order) - Self.headDigits + wholeHead.zeros : Int(order) - Self.headDigits - tail.count
    }

    /// Without a fraction, as `1.0` is.
    var isInteger: Bool { head == 0 || lastPlace >= 0 }

    var isPositive: Bool { head > 0 }

    /// A whole number from 0, as a count; `Int.max` stands for whatever is more than any document has. Nil for other numbers.
    var count: Int? {
        guard isInteger, head >= 0 else { return nil }
        guard order <= Self.headDigits else { return .max }
        return (order..<Int16(Self.headDigits)).reduce(Int(head)) { whole, _ in whole / 10 }
    }
}

extension JSONNumber: Comparable {
    public static func < (left: JSONNumber, right: JSONNumber) -> Bool {
        guard left.head.signum() == right.head.signum() else { return left.head < right.head }
        let (small, large) = left.head < 0 ? (right, left) : (left, right)
        if small.head == 0 { return false }
        if small.order != large.order { return small.order < large.order }
        if small.head != large.head { return small.head.magnitude < large.head.magnitude }
        return small.tail.lexicographicallyPrecedes(large.tail)
    }
}

extension JSONNumber {
    /// Fit to be a `multipleOf`: more than zero, with 18 significant digits at most, so that remainders stay within 64 bits.
    var isDivisor: Bool { head > 0 && tail.isEmpty }

    /// Exactly: 0.3 is a multiple of 0.1. `divisor` is one that `isDivisor`.
    func isMultiple(of divisor: JSONNumber) -> Bool {
        guard head != 0 else { return true }
        // No multiple of 10^n has a digit before its n-th place.
        let zeros = lastPlace - divisor.lastPlace
        guard zeros >= 0 else { return false }
        let modulus = divisor.wholeHead.digits
        var rest = (tail.isEmpty ? wholeHead.digits : head.magnitude) % modulus
        for digit in tail { rest = (rest * 10 + UInt64(digit)) % modulus }
        for _ in 0..<zeros where rest != 0 { rest = rest * 10 % modulus }
        return rest == 0
    }
}

extension JSONNumber: CustomStringConvertible {
    /// As people write it where it has few digits, else with an exponent.
    public var description: String {
        guard head != 0 else { return "0" }
        let sign = head < 0 ? "-" : ""
        let digits = tail.isEmpty ? String(wholeHead.digits) : String(head.magnitude) + tail.map { String($0) }.joined()
        let point = Int(order)
        if (digits.count...max(digits.count, 21)).contains(point) {
            return sign + digits + String(repeating: "0", count: point - digits.count)
        }
        if (1..<digits.count).contains(point) { return sign + digits.prefix(point) + "." + digits.dropFirst(point) }
        if (-5...0).contains(point) { return sign + "0." + String(repeating: "0", count: -point) + digits }
        return sign + digits.prefix(1) + (digits.count > 1 ? "." : "") + digits.dropFirst() + "e\(point - 1)"
    }
}
