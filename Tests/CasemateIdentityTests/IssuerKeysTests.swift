import CasemateModel
import Testing

@testable import CasemateIdentity

@Suite("When an issuer's keys are fetched")
struct IssuerKeysTests {
    private func at(_ seconds: UInt64) -> UInt64 { (1000 + seconds) * 1_000_000_000 }

    private func someKeys() async throws -> SigningKeys {
        try await SigningKeys(Array(#"{"keys": [\#(SigningKeysTests.examples[1].key)]}"#.utf8))
    }

    private func name(_ decision: IssuerKeys.Decision) -> String {
        switch decision {
        case .use(_, let fetches): fetches ? "use and fetch" : "use"
        case .fetchFirst: "fetch first"
        case .unavailable: "unavailable"
        }
    }

    @Test("without keys they are fetched first, by one; until then there are none")
    func first() async throws {
        var state = IssuerKeys()
        #expect(name(state.decide(at: at(0))) == "fetch first")
        state.began(at: at(0))
        #expect(name(state.decide(at: at(1))) == "fetch first", "which is to wait for the one under way")
        state.ended(try await someKeys(), at: at(2))
        #expect(name(state.decide(at: at(3))) == "use")
    }

    @Test("keys serve while newer ones are fetched, and through an outage of some hours, not longer")
    func outage() async throws {
        var state = IssuerKeys()
        state.began(at: at(0))
        state.ended(try await someKeys(), at: at(0))
        #expect(name(state.decide(at: at(599))) == "use")
        #expect(name(state.decide(at: at(601))) == "use and fetch")
        state.began(at: at(601))
        #expect(name(state.decide(at: at(602))) == "use", "one fetch at a time")
        state.ended(nil, at: at(606))
        #expect(name(state.decide(at: at(6 * 3600 - 1))) == "use and fetch")
        #expect(name(state.decide(at: at(6 * 3600 + 1))) == "fetch first")
    }

    @Test("who looked at the clock before the keys came uses them, too")
    func earlierLook() async throws {
        var state = IssuerKeys()
        state.began(at: at(0))
        state.ended(try await someKeys(), at: at(2))
        #expect(name(state.decide(at: at(1))) == "use")
    }

    @Test("an issuer that can't be had is asked four times at once; then its tokens have to wait")
    func down() {
        var state = IssuerKeys()
        for _ in 0..<4 {
            #expect(name(state.decide(at: at(0))) == "fetch first")
            state.began(at: at(0))
            state.ended(nil, at: at(0))
        }
        #expect(name(state.decide(at: at(1))) == "unavailable")
        #expect(name(state.decide(at: at(16))) == "fetch first")
    }

    @Test("each answer is a generation, an empty set, too; no answer is none")
    func generations() async throws {
        var state = IssuerKeys()
        state.ended(try await someKeys(), at: at(0))
        #expect(state.generation == 1)
        state.ended(nil, at: at(1))
        #expect(state.generation == 1)
        state.ended(try await SigningKeys(Array(#"{"keys": []}"#.utf8)), at: at(2))
        #expect(state.generation == 2)
    }

    @Test("made-up keys ask four times at once, and then once in fifteen seconds")
    func unknown() async throws {
        var state = IssuerKeys()
        var asked = 0
        for second in 0..<150 as Range<UInt64> where state.mayFetch(at(second)) {
            state.began(at: at(second))
            state.ended(try await someKeys(), at: at(second))
            asked += 1
        }
        #expect((13...14).contains(asked))
    }
}
