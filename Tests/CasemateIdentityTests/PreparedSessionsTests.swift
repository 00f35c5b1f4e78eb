import CasemateModel
import Testing

@testable import CasemateIdentity

@Suite("A session that is made before its call")
struct PreparedSessionsTests {
    private let maker = Principal.administrator(KeyId())
    private let now = Timestamp(milliseconds: 1_000_000)
    private let sessions = PreparedSessions()

    private func take(_ nonce: FreshCredential, by principal: Principal, after milliseconds: Int64 = 0) -> Result<Principal, Problem> {
        Result { () throws(Problem) in
            try sessions.take(Credential(nonce.text), by: principal, at: now.advanced(byMilliseconds: milliseconds))
        }
    }

    @Test("is taken once, by its maker")
    func once() throws {
        let (_, nonce) = try sessions.prepare(for: .anonymous, by: maker, at: now)
        #expect(take(nonce, by: .administrator(KeyId())) == .failure(Problem(.forbidden, "")))
        #expect(take(nonce, by: maker) == .success(.anonymous))
        #expect(take(nonce, by: maker) == .failure(Problem(.unauthenticated, "")))
        #expect(throws: Problem(.unauthenticated, "")) { try sessions.take(nil, by: maker) }
    }

    @Test("is worth a minute", arguments: [(59_999, true), (60_000, false), (3_600_000, false)])
    func expiry(after: Int, isTaken: Bool) throws {
        let (_, nonce) = try sessions.prepare(for: maker, by: maker, at: now)
        #expect((take(nonce, by: maker, after: Int64(after)) == .success(maker)) == isTaken)
    }

    @Test("one of fifty at once gets it")
    func atOnce() async throws {
        let (_, nonce) = try sessions.prepare(for: maker, by: maker, at: now)
        let taken = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<50 {
                group.addTask { [sessions, maker, now] in (try? sessions.take(Credential(nonce.text), by: maker, at: now)) != nil }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(taken == 1)
    }

    @Test("is listed to its maker, and theirs to take back")
    func list() throws {
        let (session, nonce) = try sessions.prepare(for: maker, by: maker, at: now)
        #expect(sessions.list(of: maker, at: now).map(\.id) == [session.id])
        #expect(sessions.list(of: .anonymous, at: now).isEmpty)
        #expect(!sessions.revoke(session.id, of: .anonymous))
        #expect(sessions.revoke(session.id, of: maker))
        #expect(!sessions.revoke(session.id, of: maker))
        #expect(take(nonce, by: maker) == .failure(Problem(.unauthenticated, "")))
    }

    @Test("there are so many of one maker, and of all; old ones make room")
    func bounds() throws {
        for _ in 0..<PreparedSessions.mostOfOneMaker { _ = try sessions.prepare(for: maker, by: maker, at: now) }
        #expect(throws: Problem(.rateLimited, "")) { try sessions.prepare(for: maker, by: maker, at: now) }
        _ = try sessions.prepare(for: maker, by: .administrator(KeyId()), at: now)
        _ = try sessions.prepare(for: maker, by: maker, at: now.advanced(byMilliseconds: 60_000))
        #expect(sessions.list(of: maker, at: now.advanced(byMilliseconds: 60_000)).count == 1)
    }
}
