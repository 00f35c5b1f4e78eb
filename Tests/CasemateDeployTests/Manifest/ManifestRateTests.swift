import CasemateDeploy
import CasemateModel
import Testing

@Suite("Rates in a manifest")
struct ManifestRateTests {
    @Test("each of the three, with each unit")
    func accepted() throws {
        #expect(
            try spec("rate: {function: 100/s, caller: 600/min, address: \"1000/h\"}").rate
                == RateLimits(function: Rate("100/s"), caller: Rate("600/min"), address: Rate("1000/h")))
        #expect(try spec("rate: {caller: 1/s}").rate == RateLimits(caller: Rate("1/s")))
        #expect(try spec("rate: {}").rate == nil)
        #expect(try spec().rate == nil)
    }

    @Test(
        "what is no rate is answered with its line",
        arguments: [
            Answer.line6("rate: {function: 10}", "rate.function takes a rate, not \"10\"; \(Rate.rule)"),
            .line6("rate: {function: 0/s}", "rate.function takes a rate, not \"0/s\"; \(Rate.rule)"),
            .line6("rate: {caller: 10/day}", "rate.caller takes a rate, not \"10/day\"; \(Rate.rule)"),
            .line6("rate: {address: [1/s]}", "rate.address takes a rate, not a list; write it as \"100/s\""),
            .line6("rate: 10/s", "rate takes a mapping, not a single value; write it as name: value lines"),
            .line6("rate: {callers: 10/s}", "unknown key \"callers\"; did you mean \"caller\"?"),
        ])
    func refused(answer: Answer) { #expect(diagnostics(answer.text) == answer.lines) }
}
