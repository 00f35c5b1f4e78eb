import CasemateModel
import Testing

@testable import CasemateInvoke
@testable import CasemateStore

@Suite("What follows from how an attempt ended")
struct AttemptVerdictTests {
    private func verdict(_ status: Int, _ code: Problem.Code? = nil, attempts: Int = 0, of most: Int = 3) -> AttemptVerdict {
        let call = QueuedCall(
            id: CallId(), functionId: FunctionId(), namespaceId: NamespaceId(), state: .running, created: .now, available: .now,
            expires: .now,
            attempts: attempts, maxAttempts: most, fence: Int64(attempts + 1), owner: "", subject: "", requestBytes: 0, schedule: nil,
            instant: nil, redriveOf: nil, redrivenAs: nil, started: nil, finished: nil, status: nil, problem: nil, detail: nil,
            revision: nil,
            sequence: 1)
        var random = SystemRandomNumberGenerator()
        return AttemptVerdict(status: status, problem: code.map { Problem($0, "") }, of: call, AsyncRules(), using: &random)
    }

    private func isAgain(_ verdict: AttemptVerdict, counts: Bool) -> Bool {
        if case .again(_, counts) = verdict { true } else { false }
    }

    @Test("below 400 it succeeded", arguments: [200, 204, 301, 399])
    func success(status: Int) { #expect(verdict(status) == .end(.succeeded)) }

    @Test("what the function refuses is refused for good", arguments: [400, 404, 409, 422, 499])
    func refusal(status: Int) { #expect(verdict(status) == .end(.failed)) }

    @Test("429 and 5xx are tried again, and then dead", arguments: [429, 500, 502, 503, 599])
    func failure(status: Int) {
        #expect(isAgain(verdict(status), counts: true))
        #expect(isAgain(verdict(status, attempts: 1), counts: true))
        #expect(verdict(status, attempts: 2) == .end(.dead))
        #expect(verdict(status, of: 1) == .end(.failed))
    }

    @Test("crash, exception, timeout and no response are tried again")
    func crash() {
        for code in [Problem.Code.functionCrashed, .functionRaised, .functionTimeout, .badResult, .importFailed] {
            #expect(isAgain(verdict(code.status, code), counts: true))
            #expect(verdict(code.status, code, attempts: 2) == .end(.dead))
        }
        #expect(verdict(504, .functionTimeout, of: 1) == .end(.timedOut))
        #expect(verdict(504, of: 1) == .end(.failed), "the function's own 504 is no limit of ours")
    }

    @Test("what the platform could not begin uses up no attempt")
    func notBegun() {
        for code in [
            Problem.Code.noCapacity, .vaultSealed, .kekUnavailable, .secretMissing, .functionDisabled, .untrustedVersion, .rateLimited,
            .unavailable, .auditUnavailable,
        ] {
            #expect(isAgain(verdict(code.status, code, attempts: 2), counts: false))
            #expect(isAgain(verdict(code.status, code, of: 1), counts: false))
        }
        #expect(verdict(403, .forbidden) == .end(.failed))
    }

    @Test("the delay grows to its bound, and is never nothing")
    func delay() {
        var random = SystemRandomNumberGenerator()
        let rules = AsyncRules(backoffInMilliseconds: 100, maxBackoffInMilliseconds: 1_000)
        for _ in 0..<200 {
            #expect((50...100).contains(rules.delayInMilliseconds(afterAttempts: 1, using: &random)))
            #expect((50...400).contains(rules.delayInMilliseconds(afterAttempts: 3, using: &random)))
            #expect((50...1_000).contains(rules.delayInMilliseconds(afterAttempts: 1_000, using: &random)))
        }
        let many = (0..<200).map { _ in rules.delayInMilliseconds(afterAttempts: 10, using: &random) }
        #expect(Set(many).count > 50, "what failed together must not come together again")
    }
}

@Suite("Whose calls are next")
struct FairShareTests {
    private let flood = FunctionId()
    private let other = FunctionId()

    @Test("each has its share by weight, however much waits", arguments: [(1, 1), (1, 3), (5, 2)])
    func weights(left: Int, right: Int) {
        var share = FairShare()
        var turns = [flood: 0, other: 0]
        for _ in 0..<(left + right) * 100 {
            let next = share.next(of: [flood, other])!
            share.took(1, next, weight: next == flood ? left : right)
            turns[next]! += 1
        }
        #expect(abs(turns[flood]! - left * 100) <= 1)
    }

    @Test("who comes late is not given what it missed, nor kept behind")
    func late() {
        var share = FairShare()
        for _ in 0..<1_000 {
            _ = share.next(of: [flood])
            share.took(1, flood, weight: 1)
        }
        var turns = 0
        for _ in 0..<20 {
            let next = share.next(of: [flood, other])!
            share.took(1, next, weight: 1)
            if next == other { turns += 1 }
        }
        #expect((9...11).contains(turns))
    }

    @Test("who leaves and comes back does not skip the line")
    func leaving() {
        var share = FairShare()
        var turns = [flood: 0, other: 0]
        for _ in 0..<200 {
            let next = share.next(of: [flood, other])!
            share.took(1, next, weight: 1)
            turns[next]! += 1
            if next == other { share.leave(other) }
        }
        #expect(abs(turns[other]! - 100) <= 2)
    }

    @Test("nobody is next of nobody")
    func none() {
        var share = FairShare()
        #expect(share.next(of: []) == nil)
    }
}
