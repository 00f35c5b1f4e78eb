import CasemateModel
import Synchronization

/// Who wants which revision to act for them, in memory: each call of a person's asks.
public final class Consents: Sendable {
    private struct Key: Hashable {
        var identity: String
        var revision: RevisionId
    }

    private let given: Mutex<[Key: Timestamp]> = Mutex([:])

    public init() {}

    public func load(_ all: [Consent]) {
        let given = Dictionary(all.map { (Key(identity: $0.identity, revision: $0.revision), $0.created) }) { first, _ in first }
        self.given.withLock { $0 = given }
    }

    public func add(_ consent: Consent) {
        given.withLock { $0[Key(identity: consent.identity, revision: consent.revision)] = consent.created }
    }

    public func remove(_ identity: String, _ revision: RevisionId) {
        given.withLock { $0[Key(identity: identity, revision: revision)] = nil }
    }

    /// Since when; nil where they were not asked yet.
    /// - Parameter identity: whose (`Principal.identity`).
    public func given(by identity: String, to revision: RevisionId) -> Timestamp? {
        let key = Key(identity: identity, revision: revision)
        return given.withLock { $0[key] }
    }
}
