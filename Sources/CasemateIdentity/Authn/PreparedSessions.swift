import CasemateModel
import Synchronization

/// Sessions that somebody makes before a call: on behalf of themselves, or of a service account whose client secret they know. Each is
/// bound to one call, by a nonce that counts once, for a minute, and from its maker alone.
///
/// In memory: what is lost with the server is worth a minute.
public final class PreparedSessions: Sendable {
    public struct Session: Sendable {
        public let id: SessionId
        /// On whose behalf the call will run.
        public let holder: Principal
        public let created: Timestamp
        public let expires: Timestamp
        fileprivate let maker: String
    }

    private struct Contents {
        var sessions: [CredentialHash: Session] = [:]
        var hashes: [SessionId: CredentialHash] = [:]
        /// By their makers.
        var counts: [String: Int] = [:]

        mutating func remove(_ hash: CredentialHash) -> Session? {
            guard let session = sessions.removeValue(forKey: hash) else { return nil }
            hashes[session.id] = nil
            counts[session.maker] = counts[session.maker].flatMap { $0 > 1 ? $0 - 1 : nil }
            return session
        }

        mutating func removeExpired(at now: Timestamp) {
            for (hash, session) in sessions where session.expires <= now { _ = remove(hash) }
        }
    }

    static let lifetimeInMilliseconds: Int64 = 60_000
    static let mostOfOneMaker = 100
    static let most = 10_000

    private let contents = Mutex(Contents())

    public init() {}

    /// - Returns: the session, and its nonce, which is shown once.
    /// - Throws: `.rateLimited` where too many wait for their calls.
    public func prepare(for holder: Principal, by maker: Principal, at now: Timestamp = .now) throws(Problem) -> (Session, FreshCredential)
    {
        let fresh = FreshCredential(.nonce)
        let session = Session(
            id: SessionId(), holder: holder, created: now, expires: now.advanced(byMilliseconds: Self.lifetimeInMilliseconds),
            maker: maker.identity)
        let isKept = contents.withLock { contents in
            if contents.sessions.count >= Self.most || contents.counts[session.maker, default: 0] >= Self.mostOfOneMaker {
                contents.removeExpired(at: now)
            }
            guard contents.sessions.count < Self.most, contents.counts[session.maker, default: 0] < Self.mostOfOneMaker else {
                return false
            }
            contents.sessions[fresh.hash] = session
            contents.hashes[session.id] = fresh.hash
            contents.counts[session.maker, default: 0] += 1
            return true
        }
        guard isKept else { throw Problem(.rateLimited, "too many sessions wait for their calls", retryAfterSeconds: 60) }
        return (session, fresh)
    }

    /// Takes the session that belongs to `nonce`; nobody gets it again.
    /// - Throws: `.unauthenticated` for one that is unknown, used or too old, alike; `.forbidden` for somebody else's, which stays theirs.
    public func take(_ nonce: Credential?, by caller: Principal, at now: Timestamp = .now) throws(Problem) -> Principal {
        let hash = nonce?.hash
        let found: Result<Principal, Problem> = contents.withLock { contents in
            guard let hash, let session = contents.sessions[hash], session.expires > now else { return .failure(Self.unknown) }
            guard session.maker == caller.identity else { return .failure(Self.foreign) }
            _ = contents.remove(hash)
            return .success(session.holder)
        }
        return try found.get()
    }

    /// Those that wait, of one maker, the oldest first.
    public func list(of maker: Principal, at now: Timestamp = .now) -> [Session] {
        let identity = maker.identity
        return contents.withLock { $0.sessions.values.filter { $0.maker == identity && $0.expires > now } }
            .sorted { $0.created < $1.created }
    }

    /// False where there is none of this maker's.
    public func revoke(_ id: SessionId, of maker: Principal) -> Bool {
        let identity = maker.identity
        return contents.withLock { contents in
            guard let hash = contents.hashes[id], contents.sessions[hash]?.maker == identity else { return false }
            return contents.remove(hash) != nil
        }
    }

    private static let unknown = Problem(.unauthenticated, "the session's nonce is unknown, used or too old: make another session")
    private static let foreign = Problem(.forbidden, "somebody else made that session")
}
