import CasemateModel
import Synchronization

/// All credentials by their hash, with what their holders may do, in memory: a call's authentication asks no disk.
public final class CredentialIndex: Sendable {
    private final class Entry: Sendable {
        let principal: Principal
        let expires: Timestamp?
        let places: KnownPlaces
        /// Milliseconds since 1970 of the last use that is not stored yet; 0 for none.
        let used: Atomic<Int64>

        init(principal: Principal, expires: Timestamp?, places: KnownPlaces, used: Int64) {
            self.principal = principal
            self.expires = expires
            self.places = places
            self.used = Atomic(used)
        }
    }

    private struct Contents {
        var entries: [CredentialHash: Entry] = [:]
        var accounts: [AccountId: (account: ServiceAccount, places: KnownPlaces)] = [:]
        var rights: [Subject: GrantedRights] = [:]

        mutating func add(_ credential: StoredCredential, before: Entry? = nil) {
            guard let hash = CredentialHash(bytes: credential.hash) else { return }
            let principal: Principal
            var places = before?.places ?? KnownPlaces()
            switch credential.holder {
            case .administrator(let id): principal = .administrator(id)
            case .functionToken(let id, let namespace, let function):
                principal = .functionToken(id, namespace: namespace, function: function)
            case .serviceAccount(let id, _, _):
                guard let known = accounts[id] else { return }
                principal = .serviceAccount(AccountPrincipal(known.account, rights: rights[.serviceAccount(id)] ?? .none))
                // An account that is known at a place is so with each of its credentials: a fresh access token, too.
                places = known.places
            }
            entries[hash] = Entry(
                principal: principal, expires: credential.expires, places: places, used: before?.used.load(ordering: .relaxed) ?? 0)
        }
    }

    private let contents = Mutex(Contents())
    private let guesses = GuessLimit()

    public init() {}

    /// Replaces everything. Called within every change of credentials, accounts or grants: what was revoked stops at once.
    public func load(_ records: AccessRecords) {
        contents.withLock { contents in
            var fresh = Contents()
            for account in records.accounts {
                fresh.accounts[account.id] = (account, contents.accounts[account.id]?.places ?? KnownPlaces())
            }
            fresh.rights = Dictionary(grouping: records.grants, by: \.subject).mapValues { GrantedRights($0) }
            for credential in records.credentials {
                fresh.add(credential, before: CredentialHash(bytes: credential.hash).flatMap { contents.entries[$0] })
            }
            contents = fresh
        }
    }

    /// One more, and some less, where nothing else changed.
    public func replace(_ gone: [[UInt8]], by credential: StoredCredential) {
        contents.withLock { contents in
            for hash in gone.compactMap({ CredentialHash(bytes: $0) }) { contents.entries[hash] = nil }
            contents.add(credential)
        }
    }

    /// Who presents `credential`; nil when it is unknown or expired.
    /// - Parameter source: where it comes from; nil where that can't be told.
    /// - Throws: `.rateLimited` where many wrong ones come from the same place. Whoever was known there before passes.
    public func principal(presenting credential: Credential, from source: CallerSource?) throws(Problem) -> Principal? {
        let hash = credential.hash
        guard let entry = contents.withLock({ $0.entries[hash] }) else {
            if let source { try guesses.failed(from: source, at: Monotonic.now) }
            return nil
        }
        let now = Timestamp.now
        // One that was right is no guess: a busy client whose token has just ended must still get its next one.
        if let expires = entry.expires, expires <= now { return nil }
        if let source, !entry.places.contains(source) {
            try guesses.isNew(from: source, at: Monotonic.now)
            entry.places.note(source)
        }
        entry.used.store(now.milliseconds, ordering: .relaxed)
        return entry.principal
    }

    /// The account that has `secret` as its client secret. Both are compared by hash, which needs no constant time.
    /// - Throws: `.rateLimited` where many wrong ones come from the same place.
    public func account(_ id: AccountId?, presenting secret: Credential?, from source: CallerSource?) throws(Problem) -> ServiceAccount? {
        let known = id.flatMap { id in contents.withLock { $0.accounts[id] } }
        guard let known, let secret, CredentialHash(bytes: known.account.secretHash) == secret.hash else {
            if let source { try guesses.failed(from: source, at: Monotonic.now) }
            return nil
        }
        if let source, !known.places.contains(source) {
            try guesses.isNew(from: source, at: Monotonic.now)
            known.places.note(source)
        }
        return known.account
    }

    /// Whom a token stands for, with what was granted to them and their groups.
    public func person(_ token: VerifiedToken) -> Principal {
        let rights = contents.withLock { contents in
            token.groups.reduce(contents.rights[.user(token.issuer.id, token.username)] ?? .none) { all, group in
                contents.rights[.group(token.issuer.id, group)].map { all.union($0) } ?? all
            }
        }
        return .person(PersonPrincipal(token, rights: rights))
    }

    /// A token came that was not seen lately, and will cost something to look at.
    /// - Throws: `.rateLimited` while many wrong credentials come from the same place.
    public func isNew(from source: CallerSource?) throws(Problem) {
        if let source { try guesses.isNew(from: source, at: Monotonic.now) }
    }

    /// A token came that is none.
    /// - Throws: `.rateLimited` where many such come from the same place.
    public func failed(from source: CallerSource?) throws(Problem) {
        if let source { try guesses.failed(from: source, at: Monotonic.now) }
    }

    /// Uses since this was last asked, to be stored.
    public func takeUses() -> [(hash: [UInt8], at: Timestamp)] {
        let entries = contents.withLock { $0.entries }
        return entries.compactMap { hash, entry in
            let at = entry.used.exchange(0, ordering: .relaxed)
            return at == 0 ? nil : (hash.bytes, Timestamp(milliseconds: at))
        }
    }
}

/// The two places where somebody showed a right credential last.
private final class KnownPlaces: Sendable {
    private let last = Atomic<UInt64>(CallerSource.none)
    private let before = Atomic<UInt64>(CallerSource.none)

    func contains(_ source: CallerSource) -> Bool {
        last.load(ordering: .relaxed) == source.value || before.load(ordering: .relaxed) == source.value
    }

    func note(_ source: CallerSource) {
        before.store(last.load(ordering: .relaxed), ordering: .relaxed)
        last.store(source.value, ordering: .relaxed)
    }
}
