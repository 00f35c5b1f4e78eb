import Testing

@testable import CasemateModel

@Suite("Timestamps")
struct TimestampTests {
    @Test(
        "RFC 3339 in UTC, with milliseconds",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (1, "1970-01-01T00:00:00.001Z"), (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"), (1_709_164_800_123, "2024-02-29T00:00:00.123Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"), (1_795_226_584_567, "2026-11-21T02:03:04.567Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"), (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] as [(Int64, String)])
    func rfc3339(milliseconds: Int64, text: String) { #expect(Timestamp(milliseconds: milliseconds).rfc3339 == text) }

    @Test("earlier is less")
    func order() {
        let time = Timestamp(milliseconds: 5)
        #expect(time < time.advanced(byMilliseconds: 1))
        #expect(time.advanced(byMilliseconds: -5).milliseconds == 0)
    }

    @Test("now is in this century")
    func now() {
        #expect(Timestamp.now > Timestamp(milliseconds: 1_700_000_000_000))
        #expect(Timestamp.now < Timestamp(milliseconds: 4_102_444_800_000))
    }
}
