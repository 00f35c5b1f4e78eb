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
        var issuers: [IssuerId: Issuer] = [:]
        /// Whoever is the same as their credential, by their identity.
        var holders: [String: CredentialHash] = [:]

        /// What was granted to somebody, with those of their groups to which something was: others are of no use to anybody.
        func person(_ issuer: Issuer, id: String, username: String, groups: Set<String>, signIn: SessionId?) -> Principal {
            let known = groups.filter { rights[.group(issuer.id, $0)] != nil }
            let all = known.reduce(rights[.user(issuer.id, username)] ?? .none) { all, group in
                rights[.group(issuer.id, group)].map { all.union($0) } ?? all
            }
            return .person(PersonPrincipal(issuer: issuer, id: id, username: username, groups: known, rights: all, signIn: signIn))
        }

        mutating func add(_ credential: StoredCredential, before: Entry? = nil) {
            guard let hash = CredentialHash(bytes: credential.hash) else { return }
            let principal: Principal
            var places = before?.places ?? KnownPlaces()
            switch credential.holder {
            case .administrator(let id):
                principal = .administrator(id)
                holders[principal.identity] = hash
            case .functionToken(let id, let namespace, let function):
                principal = .functionToken(id, namespace: namespace, function: function)
                holders[principal.identity] = hash
            case .serviceAccount(let id, let key, _):
                guard let known = accounts[id] else { return }
                principal = .serviceAccount(AccountPrincipal(known.account, key: key, rights: rights[.serviceAccount(id)] ?? .none))
                principal.credential.map { holders[$0] = hash }
                // An account that is known at a place is so with each of its credentials: a fresh access token, too.
                places = known.places
            case .person(let id, let known):
                guard let issuer = issuers[known.issuer] else { return }
                principal = person(issuer, id: known.subject, username: known.username, groups: Set(known.groups), signIn: id)
                principal.credential.map { holders[$0] = hash }
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
            fresh.issuers = Dictionary(records.issuers.map { ($0.id, $0) }) { first, _ in first }
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
            for hash in gone.compactMap({ CredentialHash(bytes: $0) }) {
                let name = contents.entries.removeValue(forKey: hash)?.principal.credential
                if let name { contents.holders[name] = nil }
            }
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
        person(token.issuer, id: token.subject, username: token.username, groups: token.groups)
    }

    private func person(_ issuer: Issuer, id: String, username: String, groups: Set<String>) -> Principal {
        contents.withLock { $0.person(issuer, id: id, username: username, groups: groups, signIn: nil) }
    }

    /// Whom an access token of our own was made for, with what they may do now; nil once they are gone.
    /// - Parameter issuer: an issuer by its id, while it is trusted.
    public func holder(of token: VerifiedToken, issuer: (IssuerId) -> Issuer?) -> Principal? {
        let words = token.subject.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count > 1 else { return nil }
        switch words[0] {
        case "person" where token.text("credential") == nil:
            guard words.count == 3, let issuer = IssuerId(words[1]).flatMap(issuer) else { return nil }
            return person(issuer, id: String(words[2]), username: token.username, groups: token.groups)
        case "service-account", "person":
            // By the credential that was exchanged: with that it ends.
            guard let credential = token.text("credential"), let holder = holder(credential), holder.identity == token.subject else {
                return nil
            }
            return holder
        default:
            return holder(token.subject)
        }
    }

    /// What somebody may do at this moment who was known before; nothing once they or what they showed are gone.
    /// - Parameter isTrusted: whether an issuer still is.
    public func rightsNow(of principal: Principal, isTrusted: (IssuerId) -> Bool) -> GrantedRights {
        switch principal {
        case .person(let known):
            guard isTrusted(known.issuer.id) else { return .none }
            if let credential = principal.credential { return holder(credential)?.rights ?? .none }
            return person(known.issuer, id: known.id, username: known.username, groups: known.groups).rights
        case .serviceAccount(let account):
            if let credential = principal.credential { return holder(credential)?.rights ?? .none }
            return contents.withLock { contents in
                contents.accounts[account.id] == nil ? .none : contents.rights[.serviceAccount(account.id)] ?? .none
            }
        case .administrator: return holder(principal.identity) == nil ? .none : .everything
        case .functionToken(_, let namespace, let function):
            guard holder(principal.identity) != nil else { return .none }
            let resource = function.map { Resource.function($0, in: namespace) } ?? .namespace(namespace)
            return GrantedRights(Rights(.functionInvoke), on: resource)
        case .anonymous, .function, .session, .schedule: return .none
        }
    }

    /// Whoever is the same as their credential, while that is valid.
    private func holder(_ identity: String) -> Principal? {
        let entry = contents.withLock { contents in contents.holders[identity].flatMap { contents.entries[$0] } }
        guard let entry, entry.expires.map({ $0 > .now }) ?? true else { return nil }
        return entry.principal
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

    /// A sign-in that is valid, with whose it is; nil for other credentials.
    public func signIn(_ stored: StoredCredential) -> (stored: StoredCredential, principal: Principal)? {
        guard case .person(let id, _) = stored.holder, let principal = holder("sign-in:\(id)") else { return nil }
        return (stored, principal)
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
