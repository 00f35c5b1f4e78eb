/// Takes the digits of a number one after the other, without a zero that says nothing.
struct NumberDigits {
    private var head: Int64 = 0
    private var headCount = 0
    private var tail: [UInt8] = []
    private var order = 0
    private(set) var written = 0

    mutating func push(_ digit: UInt8, isFraction: Bool) {
        written += 1
        if headCount == 0, digit == 0 {
            if isFraction { order -= 1 }
            return
        }
        if !isFraction { order += 1 }
        if headCount < JSONNumber.headDigits {
            head = head * 10 + Int64(digit)
            headCount += 1
        } else {
            tail.append(digit)
        }
    }

    consuming func number(isNegative: Bool, exponent: Int) -> JSONNumber {
        guard headCount > 0 else { return JSONNumber(head: 0, tail: [], order: 0) }
        while headCount < JSONNumber.headDigits {
            head *= 10
            headCount += 1
        }
        while tail.last == 0 { tail.removeLast() }
        return JSONNumber(head: isNegative ? -head : head, tail: tail, order: Int16(order + exponent))
    }
}
