import CasemateModel
import Testing

@Suite("Rates and buckets")
struct TokenBucketTests {
    private let second: UInt64 = 1_000_000_000

    @Test("a rate is read and written in one form", arguments: ["1/s", "100/s", "600/min", "1000000/h"])
    func text(text: String) { #expect(Rate(text)?.description == text) }

    @Test(
        "anything else is no rate",
        arguments: [
            "", "/", "1", "1/", "/s", "0/s", "-1/s", "+1/s", "1.5/s", "1/day", "1/S", " 1/s", "1/s ", "1000001/s", "99999999/s", "1//s",
            "१/s",
        ])
    func noRate(text: String) { #expect(Rate(text) == nil) }

    @Test("what passes in a time is the burst and the rate times the time, to within 5 %", arguments: ["10/s", "100/s", "90/min", "7/s"])
    func accuracy(text: String) throws {
        let rate = try #require(Rate(text))
        var bucket = TokenBucket(rate, at: 0)
        var passed = 0
        // Ten times as many as may pass, for a minute, not quite evenly.
        let step = UInt64(1e9 / rate.perSecond / 10)
        var now: UInt64 = 0
        while now < 60 * second {
            if bucket.take(at: now) { passed += 1 }
            now += step + now % 7
        }
        let expected = rate.burst + rate.perSecond * 60
        #expect(abs(Double(passed) - expected) <= expected * 0.05)
    }

    @Test("after a rest a second's worth passes at once, and no more however long the rest")
    func burst() throws {
        var bucket = TokenBucket(Rate("5/s")!, at: 0)
        for now in [0, 3600 * second] {
            let passed = (0..<100).filter { _ in bucket.take(at: now) }.count
            #expect(passed == 5)
        }
    }

    @Test("the wait that is told suffices, and one second less does not", arguments: ["1/min", "2/s", "1/h"])
    func wait(text: String) throws {
        var bucket = TokenBucket(Rate(text)!, at: 0)
        while bucket.take(at: 0) {}
        let wait = UInt64(bucket.secondsUntilNext)
        var early = bucket
        let isEarly = wait > 1 && early.take(at: (wait - 1) * second)
        #expect(!isEarly)
        let passes = bucket.take(at: wait * second)
        #expect(passes)
    }

    @Test("a clock that stands still or goes back fills nothing")
    func clock() {
        var bucket = TokenBucket(Rate("1/s")!, at: 10 * second)
        let passed = [10, 5, 10, 11].map { bucket.take(at: $0 * second) }
        #expect(passed == [true, false, false, true])
    }
}
