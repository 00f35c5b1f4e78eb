import CasemateIdentity
import CasemateModel
import Testing

@testable import CasemateInvoke

@Suite("How often a function may be called")
struct RateLimiterTests {
    private let function = FunctionId()
    private let one = Principal.functionToken(TokenId(), namespace: NamespaceId(), function: nil)
    private let other = Principal.functionToken(TokenId(), namespace: NamespaceId(), function: nil)
    private let here = CallerSource("192.0.2.1")!
    private let there = CallerSource("192.0.2.2")!

    /// How many of a hundred calls pass at once.
    private func passed(_ limiter: RateLimiter, _ limits: RateLimits, _ principal: Principal, _ source: CallerSource?, at now: UInt64 = 0)
        -> Int
    {
        (0..<100).filter { _ in (try? limiter.take(limits, function, principal, source, at: now)) != nil }.count
    }

    @Test("all callers share a function's rate, each has its own caller's, each address its own")
    func kinds() {
        let all = RateLimits(function: Rate("5/s"))
        var limiter = RateLimiter()
        #expect(passed(limiter, all, one, here) == 5)
        #expect(passed(limiter, all, other, there) == 0)

        let each = RateLimits(caller: Rate("5/s"))
        limiter = RateLimiter()
        #expect(passed(limiter, each, one, here) == 5)
        #expect(passed(limiter, each, one, there) == 0)
        #expect(passed(limiter, each, other, here) == 5)
        #expect(passed(limiter, each, .anonymous, here) == 5)
        #expect(passed(limiter, each, .anonymous, there) == 0, "those without a credential are one caller")

        let address = RateLimits(address: Rate("5/s"))
        limiter = RateLimiter()
        #expect(passed(limiter, address, one, here) == 5)
        #expect(passed(limiter, address, other, here) == 0)
        #expect(passed(limiter, address, one, there) == 5)
        #expect(passed(limiter, address, one, nil) == 100, "out of a sandbox there is none")
    }

    @Test("what one limit refuses takes nothing from another")
    func together() {
        let limiter = RateLimiter()
        let limits = RateLimits(function: Rate("10/s"), caller: Rate("3/s"))
        #expect(passed(limiter, limits, one, here) == 3)
        #expect(passed(limiter, limits, other, here) == 3)
        #expect(passed(limiter, RateLimits(function: Rate("10/s")), one, here) == 4)
    }

    @Test("the refusal names the limit and when to come again")
    func refusal() throws {
        let limiter = RateLimiter()
        let limits = RateLimits(caller: Rate("1/min"))
        try limiter.take(limits, function, one, here, at: 0)
        do {
            try limiter.take(limits, function, one, here, at: 0)
            Issue.record("it should be refused")
        } catch {
            #expect(error.code == .rateLimited)
            #expect(error.reason == "caller-rate")
            #expect(error.retryAfterSeconds == 60)
            #expect(error.detail.contains("1/min"))
        }
        try limiter.take(limits, function, one, here, at: 60_000_000_000)
    }

    @Test("another function's calls count for itself, and a changed rate begins anew")
    func changes() throws {
        let limiter = RateLimiter()
        #expect(passed(limiter, RateLimits(function: Rate("5/s")), one, here) == 5)
        try limiter.take(RateLimits(function: Rate("5/s")), FunctionId(), one, here, at: 0)
        #expect(passed(limiter, RateLimits(function: Rate("7/s")), one, here) == 7)
    }

    @Test("callers beyond count are all served, in bounded memory")
    func many() throws {
        let limiter = RateLimiter()
        let limits = RateLimits(caller: Rate("1/h"))
        for _ in 0..<150_000 { try limiter.take(limits, function, .administrator(KeyId()), here, at: 0) }
    }

    @Test("the lower of manifest and namespace holds, each for itself")
    func capped() {
        let manifest = RateLimits(function: Rate("60/min"), caller: Rate("10/s"))
        let namespace = RateLimits(function: Rate("2/s"), caller: Rate("5/s"), address: Rate("1/s"))
        #expect(manifest.capped(by: namespace) == RateLimits(function: Rate("60/min"), caller: Rate("5/s"), address: Rate("1/s")))
        #expect(manifest.capped(by: RateLimits()) == manifest)
        #expect(RateLimits().capped(by: RateLimits()).isEmpty)
    }
}
