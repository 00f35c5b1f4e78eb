import CasemateModel
import Crypto
import Synchronization

/// The issuers whose tokens are taken, with their keys. Verifies without waiting; who lacks keys is told to have them fetched.
public final class IssuerRegistry: Sendable {
    public enum Verdict: Sendable {
        case valid(VerifiedToken)
        /// Fetch the keys of this issuer, and ask again. Where it says so once more: it is not to be believed if there are some.
        case needsKeys(IssuerId, hasSome: Bool)
        /// They can't be had now.
        case unavailable
        /// Not to be believed. Why is for whoever debugs, never for the sender; it holds nothing of the token.
        case refused(String)
    }

    /// Gets an issuer's key set: discovery document first, then what that names. - Throws: whatever went wrong, for the log.
    public typealias Fetch = @Sendable (Issuer) async throws -> [UInt8]

    private struct State {
        /// By their URLs.
        var issuers: [String: Issuer] = [:]
        var keys: [IssuerId: IssuerKeys] = [:]
        /// What comes before a function's name in its URL; nil until that is known.
        var functions: String?
        /// This server, as one that signs tokens for its own functions; nil until its URL is known.
        var own: OwnIssuer?
        var verified = VerifiedTokens()
        /// The last one that was refused, and when: each call asks twice.
        var refused: (hash: CredentialHash, at: UInt64, why: String)?

        /// Whether the key that it was verified with is still what its issuer signs with, as far as is known now.
        mutating func isInForce(_ entry: VerifiedTokens.Entry, at now: UInt64) -> Bool {
            if entry.token.isOwn { return true }
            guard case .use(_, fetches: false) = keys[entry.token.issuer.id, default: IssuerKeys()].decide(at: now) else { return false }
            return keys[entry.token.issuer.id]?.generation == entry.generation
        }
    }

    /// RFC 8725 has none; what clocks differ by.
    static let leewayInSeconds: Int64 = 60

    private let state = Mutex(State())
    private let fetch: Fetch
    private let failed: @Sendable (Issuer, any Error) -> Void

    /// - Parameter failed: told of an issuer that did not answer.
    public init(fetch: @escaping Fetch, failed: @Sendable @escaping (Issuer, any Error) -> Void) {
        self.fetch = fetch
        self.failed = failed
    }

    /// Replaces everything, if anything changed. Keys of an issuer that is as it was stay.
    public func load(_ issuers: [Issuer]) {
        state.withLock { state in
            let fresh = Dictionary(issuers.map { ($0.url, $0) }) { first, _ in first }
            guard fresh != state.issuers else { return }
            let same = Set(issuers.filter { state.issuers[$0.url] == $0 }.map(\.id))
            state.issuers = fresh
            state.keys = state.keys.filter { same.contains($0.key) }
            state.verified = VerifiedTokens()
        }
    }

    /// Whether a credential is to be taken for a token at all.
    public static func isLikely(_ text: some StringProtocol) -> Bool { CompactToken.isLikely(text) }

    /// - Parameter gateway: the URL that functions are called at.
    public func setGateway(_ gateway: String) { state.withLock { $0.functions = gateway + "/f/" } }

    /// This server, whose access tokens for functions are taken from now on.
    public func setOwn(_ own: OwnIssuer) { state.withLock { $0.own = own } }

    public var own: OwnIssuer? { state.withLock { $0.own } }

    /// One by its id, while it is trusted.
    public func issuer(_ id: IssuerId) -> Issuer? { state.withLock { $0.issuers.values.first { $0.id == id } } }

    /// What a token has in `aud` that is for one function alone: its URL. (Not its scope's name, which another server's function has, too.)
    public func audiences(of function: FunctionName) -> [String] {
        state.withLock { $0.functions }.map { ["\($0)\(function)"] } ?? []
    }

    /// Whether an audience is what stands for a function here.
    public func isFunctionURL(_ audience: String) -> Bool { state.withLock { $0.functions }.map { audience.hasPrefix($0) } ?? true }

    /// Whether it was verified not long ago: the next time costs little.
    public func isKnown(_ text: String) -> Bool {
        let hash = Self.hash(text)
        return state.withLock { $0.verified[hash] != nil }
    }

    public func verify(_ text: String, at time: Timestamp = .now) -> Verdict {
        let hash = Self.hash(text)
        let now = Monotonic.now
        let known: Verdict? = state.withLock { state in
            if let entry = state.verified[hash], state.isInForce(entry, at: now) {
                return entry.token.isValid(at: time) ? .valid(entry.token) : .refused("it has expired")
            }
            if let refused = state.refused, refused.hash == hash, Monotonic.elapsed(from: refused.at, to: now) < 500_000_000 {
                return .refused(refused.why)
            }
            return nil
        }
        if let known { return known }
        let verdict = verifyAnew(text, hash, at: time, now)
        if case .refused(let why) = verdict { state.withLock { $0.refused = (hash, now, why) } }
        return verdict
    }

    private func verifyAnew(_ text: String, _ hash: CredentialHash, at time: Timestamp, _ now: UInt64) -> Verdict {
        let token: CompactToken
        do throws(TokenFault) {
            token = try CompactToken(text)
            try Self.checkTimes(token.claims, at: time)
        } catch {
            return .refused(error.description)
        }
        if let own, own.url.utf8.elementsEqual(token.claims.issuer.utf8) { return verifyOwn(token, own, hash, length: text.utf8.count) }
        // Who signed is asked only of issuers that were configured, whatever a token says where its keys are (RFC 8725 §3.10). Compared byte by
        // byte: texts that look alike are equal to Swift (RFC 7519 §2, StringOrURI).
        guard let issuer = state.withLock({ $0.issuers[token.claims.issuer] }), issuer.url.utf8.elementsEqual(token.claims.issuer.utf8)
        else {
            return .refused("its issuer is not known here")
        }
        guard issuer.algorithms.contains(token.algorithm) else { return .refused("its algorithm is not taken") }
        // Other kinds of token of the same issuer, such as logout tokens, are no credential (RFC 8725 §3.11).
        guard token.type == nil || token.type == "jwt" || token.type == "at+jwt", !token.claims.isEvent else {
            return .refused("it is a token of another kind")
        }
        let keys: SigningKeys
        let generation: Int
        let decision = state.withLock { state in
            (state.keys[issuer.id, default: IssuerKeys()].decide(at: now), state.keys[issuer.id]?.generation ?? 0)
        }
        switch decision {
        case (.use(let known, let fetches), let now):
            (keys, generation) = (known, now)
            if fetches { Task { await self.fetchKeys(of: issuer.id) } }
        case (.fetchFirst, _): return .needsKeys(issuer.id, hasSome: false)
        case (.unavailable, _): return .unavailable
        }
        switch keys.verify(token.signature, signs: token.signedPart, algorithm: token.algorithm, keyId: token.keyId) {
        case .valid: break
        case .invalid: return .refused("its signature is not valid")
        case .unknownKey:
            let isWorthAsking = state.withLock { state in
                state.keys[issuer.id]?.isFetching == true || state.keys[issuer.id, default: IssuerKeys()].mayFetch(now)
            }
            return isWorthAsking ? .needsKeys(issuer.id, hasSome: true) : .refused("its key is not known")
        }
        guard let verified = VerifiedToken(token, issuer: issuer) else { return .refused("it names nobody") }
        state.withLock { state in
            // Not where issuer or keys changed meanwhile.
            guard state.issuers[issuer.url] == issuer, state.keys[issuer.id]?.generation == generation else { return }
            state.verified.add(verified, hash, generation: generation, length: text.utf8.count)
        }
        return .valid(verified)
    }

    /// Those by which functions say elsewhere who they are are no credential here.
    private func verifyOwn(_ token: CompactToken, _ own: OwnIssuer, _ hash: CredentialHash, length: Int) -> Verdict {
        guard own.isValid(token), let verified = VerifiedToken(token, issuer: own.issuer, isOwn: true) else {
            return .refused("it is no access token of this server")
        }
        state.withLock { $0.verified.add(verified, hash, generation: 0, length: length) }
        return .valid(verified)
    }

    private static func hash(_ text: String) -> CredentialHash { CredentialHash(SHA256.hash(data: Array(text.utf8))) }

    private static func checkTimes(_ claims: UnverifiedClaims, at now: Timestamp) throws(TokenFault) {
        let seconds = now.milliseconds / 1000
        guard claims.expires + leewayInSeconds > seconds else { throw .refused("it has expired") }
        guard (claims.notBefore ?? 0) - leewayInSeconds <= seconds else { throw .refused("it is not valid yet") }
        guard (claims.issuedAt ?? 0) - leewayInSeconds <= seconds else { throw .refused("it was issued in the future") }
    }

    /// Returns when they are there, or could not be had. One fetch at a time for an issuer.
    public func fetchKeys(of id: IssuerId) async {
        let issuer: Issuer? = state.withLock { state in
            let now = Monotonic.now
            guard let issuer = state.issuers.values.first(where: { $0.id == id }), state.keys[id, default: IssuerKeys()].mayFetch(now)
            else { return nil }
            state.keys[id, default: IssuerKeys()].began(at: now)
            return issuer
        }
        guard let issuer else { return await waitForFetch(of: id) }
        var found: SigningKeys?
        do { found = try await SigningKeys(try await fetch(issuer)) } catch { failed(issuer, error) }
        state.withLock { [found] state in
            guard state.issuers[issuer.url] == issuer else { return }
            state.keys[id, default: IssuerKeys()].ended(found, at: Monotonic.now)
        }
    }

    /// Somebody else has begun it.
    private func waitForFetch(of id: IssuerId) async {
        for _ in 0..<500 {
            guard state.withLock({ $0.keys[id]?.isFetching ?? false }) else { return }
            try? await Task.sleep(for: .milliseconds(20))
        }
    }
}

/// Tokens verified lately, by their hash: a signature costs a tenth of a millisecond. Bounded in number and size.
private struct VerifiedTokens {
    struct Entry {
        var token: VerifiedToken
        /// Of the keys that it was verified with.
        var generation: Int
    }

    private static let most = 4096
    private static let longest = 4096
    private var entries: [CredentialHash: Entry] = [:]

    subscript(hash: CredentialHash) -> Entry? { entries[hash] }

    mutating func add(_ token: VerifiedToken, _ hash: CredentialHash, generation: Int, length: Int) {
        guard length <= Self.longest else { return }
        if entries.count >= Self.most {
            let now = Timestamp.now
            entries = entries.filter { $0.value.token.isValid(at: now) }
            if entries.count > Self.most / 2 {
                entries = Dictionary(uniqueKeysWithValues: entries.lazy.prefix(Self.most / 2).map { ($0.key, $0.value) })
            }
        }
        entries[hash] = Entry(token: token, generation: generation)
    }
}
