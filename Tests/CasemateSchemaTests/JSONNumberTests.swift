import Testing

@testable import CasemateSchema

@Suite("Numbers of JSON, exactly")
struct JSONNumberTests {
    private func number(_ text: String) throws -> JSONNumber {
        guard case .number(let number) = try SchemaFixture.value(text) else { throw JSONFault(offset: 0, what: "is no number") }
        return number
    }

    @Test("stand in the order of their values")
    func ordered() throws {
        let texts = [
            "-1e400", "-123456789012345678901.5", "-123456789012345678901", "-2.5", "-2.49", "-1", "-1e-400", "0", "1e-400", "1e-5",
            "0.00001000001", "0.1", "0.1000000000000000055511151231257827", "0.99", "1", "1.5", "9.99", "10", "9007199254740992",
            "9007199254740993", "123456789012345678", "123456789012345678.1", "123456789012345678.11", "123456789012345679", "1e399",
            "1e400",
        ]
        let numbers = try texts.map(number)
        for (i, left) in numbers.enumerated() {
            for (j, right) in numbers.enumerated() {
                #expect((left < right) == (i < j), "\(texts[i]) < \(texts[j])")
                #expect((left == right) == (i == j), "\(texts[i]) == \(texts[j])")
            }
        }
    }

    @Test(
        "are whole without a fraction",
        arguments: [
            ("0", true), ("1.0", true), ("1.5e1", true), ("100e-2", true), ("1e400", true), ("123456789012345678901", true), ("1.5", false),
            ("100e-3", false), ("123456789012345678901.5", false), ("1e-400", false), ("-3.0", true),
        ])
    func whole(text: String, isWhole: Bool) throws { #expect(try number(text).isInteger == isWhole) }

    @Test(
        "are multiples by their decimals",
        arguments: [
            ("0.3", "0.1", true), ("19.99", "0.01", true), ("4.35", "0.01", true), ("0.05", "0.1", false), ("0", "7", true),
            ("-4.5", "1.5", true), ("1e400", "0.1", true), ("1e400", "7", false), ("7e400", "7", true), ("1e-400", "1e-400", true),
            ("1.5e-400", "1e-400", false), ("1e399", "1e400", false), ("246913578024691356", "123456789012345678", true),
            ("123456789012345679", "123456789012345678", false), ("700000000000000000000000000000000000007", "7", true),
            ("700000000000000000000000000000000000008", "7", false), ("10", "4", false), ("100", "4", true), ("1e2", "40", false),
        ])
    func multiple(text: String, divisor: String, isMultiple: Bool) throws {
        #expect(try number(text).isMultiple(of: number(divisor)) == isMultiple)
    }

    @Test(
        "are counts where they are whole and not negative",
        arguments: [
            ("0", 0), ("2.0", 2), ("1e3", 1000), ("999999999999999999", 999_999_999_999_999_999), ("1e30", .max), ("1.5", nil), ("-1", nil),
        ] as [(String, Int?)])
    func count(text: String, count: Int?) throws { #expect(try number(text).count == count) }

    @Test(
        "are written as people write them",
        arguments: [
            ("-0", "0"), ("1.50", "1.5"), ("-12e1", "-120"), ("1e-5", "0.00001"), ("1e-9", "1e-9"), ("12.5e30", "1.25e31"),
            ("1e20", "100000000000000000000"), ("123456789012345678901234.5", "123456789012345678901234.5"),
            ("12345678901234567890", "12345678901234567890"),
        ])
    func written(text: String, expected: String) throws { #expect(try number(text).description == expected) }

    @Test(
        "are bounded in digits and exponent",
        arguments: [
            "1e401", "1e-401", "1e999999", "-1e999999999999999999999999", "0e401", String(repeating: "9", count: 1001),
            "0." + String(repeating: "0", count: 1001),
        ])
    func refused(text: String) { #expect(throws: JSONFault.self) { try number(text) } }

    @Test("may have a thousand digits")
    func long() throws {
        let nines = String(repeating: "9", count: 1000)
        #expect(try number(nines + "e400") > number("1e400"))
        #expect(try number(nines).isMultiple(of: number("9")))
        #expect(try number("0." + nines.dropFirst()) < number("1"))
    }
}
