import Testing

@testable import CasemateAWS

@Suite("The circuit")
struct CircuitBreakerTests {
    private let start = ContinuousClock.now

    private func pass(_ circuit: inout CircuitBreaker, _ now: ContinuousClock.Instant) throws -> CircuitBreaker.Pass {
        let pass = circuit.pass(at: now)
        return try #require(pass)
    }

    private func mayAsk(_ circuit: inout CircuitBreaker, _ now: ContinuousClock.Instant) -> Bool { circuit.pass(at: now) != nil }

    /// Open since `start`.
    private func opened() throws -> CircuitBreaker {
        var circuit = CircuitBreaker()
        for _ in 1...3 { circuit.failed(try pass(&circuit, start), at: start) }
        return circuit
    }

    @Test("three failures in a row open it, and an answer in between starts the count anew")
    func opens() throws {
        var circuit = CircuitBreaker()
        for _ in 1...5 {
            for _ in 1...2 { circuit.failed(try pass(&circuit, start), at: start) }
            circuit.succeeded(try pass(&circuit, start))
        }
        circuit = try opened()
        #expect(!mayAsk(&circuit, start))
        #expect(!mayAsk(&circuit, start + .milliseconds(999)))
        #expect(mayAsk(&circuit, start + .seconds(1)))
    }

    @Test("one request tries when the pause is over, and each failed trial doubles the pause up to 30 s")
    func pauses() throws {
        var circuit = try opened()
        var now = start
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            #expect(!mayAsk(&circuit, now + .seconds(seconds) - .nanoseconds(1)))
            now += .seconds(seconds)
            let trial = try pass(&circuit, now)
            #expect(!mayAsk(&circuit, now))
            circuit.failed(trial, at: now)
        }
        now += .seconds(30)
        circuit.succeeded(try pass(&circuit, now))
        for _ in 1...3 { #expect(mayAsk(&circuit, now)) }
    }

    @Test("what comes late of requests from before says nothing")
    func late() throws {
        var circuit = CircuitBreaker()
        let early = try (1...4).map { _ in try pass(&circuit, start) }
        for _ in 1...3 { circuit.failed(try pass(&circuit, start), at: start) }
        circuit.succeeded(early[0])
        #expect(!mayAsk(&circuit, start))
        let trial = try pass(&circuit, start + .seconds(1))
        circuit.failed(early[1], at: start)
        circuit.succeeded(early[2])
        #expect(!mayAsk(&circuit, start + .seconds(1)))
        circuit.succeeded(trial)
        circuit.failed(early[3], at: start)
        #expect(mayAsk(&circuit, start))
    }

    @Test("a trial that its caller gave up leaves the next one to try")
    func abandoned() throws {
        var circuit = try opened()
        let trial = try pass(&circuit, start + .seconds(1))
        circuit.abandoned(trial, at: start + .seconds(1))
        let next = try pass(&circuit, start + .seconds(1))
        circuit.failed(next, at: start + .seconds(1))
        #expect(!mayAsk(&circuit, start + .seconds(2)))
        #expect(mayAsk(&circuit, start + .seconds(3)))
    }
}
