/// Two hexadecimal digits per byte, in one case.
enum HexDigits: Sendable {
    case lower
    case upper

    private static let lowerDigits = Array("0123456789abcdef".utf8)
    private static let upperDigits = Array("0123456789ABCDEF".utf8)

    /// The sixteen digits.
    var digits: [UInt8] { self == .lower ? Self.lowerDigits : Self.upperDigits }

    func spell(_ value: [UInt8]) -> [UInt8] {
        let digits = digits
        return Array(unsafeUninitializedCapacity: 2 * value.count) { out, count in
            for byte in value {
                out.initializeElement(at: count, to: digits[Int(byte >> 4)])
                out.initializeElement(at: count + 1, to: digits[Int(byte & 15)])
                count += 2
            }
        }
    }
}
