import Testing

@testable import CasemateDeploy

@Suite("Quantities and wording")
struct QuantityTests {
    @Test("a quantity's text leads back to it", arguments: [UInt64(1), 1023, 1024, 1536, 32 << 20, 16 << 30, 5 << 40])
    func sizes(bytes: UInt64) {
        let text = Quantity.text(ofBytes: bytes)
        #expect(Quantity.sizeInBytes(text) == (bytes % 1024 == 0 ? bytes : nil))
    }

    @Test("a duration's text leads back to it", arguments: [1, 999, 1000, 1500, 60_000, 90_000, 3_600_000, 86_400_000])
    func durations(milliseconds: Int) {
        #expect(Quantity.durationInMilliseconds(Quantity.text(ofMilliseconds: milliseconds)) == milliseconds)
    }

    @Test("a share of a processor's text leads back to it")
    func cores() {
        for millicores: UInt32 in 1...3000 { #expect(Quantity.millicores(Quantity.text(ofMillicores: millicores)) == millicores) }
    }

    @Test(
        "what isn't a quantity is none", arguments: ["", "-1", "+1", "1_0", "01", ".5", "1.", "1e3", "0x1", "٣", "1.2.3", " 1", "1 ", "∞"])
    func none(text: String) {
        #expect(Quantity.naturalNumber(text) == nil)
        #expect(Quantity.millicores(text) == nil)
        #expect(Quantity.sizeInBytes(text + "MiB") == nil)
        #expect(Quantity.durationInMilliseconds(text + "s") == nil)
    }

    @Test("too large is out of every range, and no trap")
    func tooLarge() {
        #expect(Quantity.sizeInBytes("18446744073709551615GiB") == .max)
        #expect(Quantity.durationInMilliseconds("9223372036854775807h") == .max)
        #expect(Quantity.durationInMilliseconds("18446744073709551615ms") == .max)
        #expect(Quantity.millicores("18446744073709551615.999") == .max)
        #expect(Quantity.millicores("4294967.295") == .max)
    }

    @Test(
        "nearest",
        arguments: [
            ("memroy", "memory"), ("Memory", "memory"), ("tmeout", "timeout"), ("concurency", "concurrency"), ("x", nil),
            ("memorandum", nil),
        ])
    func nearest(word: String, expected: String?) {
        #expect(Wording.nearest(to: word, among: ["memory", "cpu", "timeout", "concurrency"]) == expected)
    }

    @Test("what a terminal would obey is escaped")
    func quoted() {
        #expect(Wording.quoted("a\u{1B}[0m\"\\\u{202E}\n") == #""a\u{1b}[0m\"\\\u{202e}\u{a}""#)
        #expect(Wording.quoted(String(repeating: "é", count: 61)) == "\"\(String(repeating: "é", count: 60))…\"")
    }
}
