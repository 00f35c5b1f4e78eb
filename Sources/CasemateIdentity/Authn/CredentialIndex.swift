import CasemateModel
import Synchronization

/// All valid credentials by their hash, in memory: a call's authentication asks no disk.
public final class CredentialIndex: Sendable {
    private struct Entry {
        var principal: Principal
        var expires: Timestamp?
    }

    private let entries: Mutex<[CredentialHash: Entry]> = Mutex([:])

    public init() {}

    /// Replaces everything. Called after every change of tokens or keys, so that a revoked one stops at once.
    public func load(_ stored: [StoredCredential]) {
        var fresh: [CredentialHash: Entry] = [:]
        for credential in stored {
            guard let hash = CredentialHash(bytes: credential.hash) else { continue }
            let principal: Principal =
                switch credential.holder {
                case .administrator(let id): .administrator(id)
                case .functionToken(let id, let namespace, let function): .functionToken(id, namespace: namespace, function: function)
                }
            fresh[hash] = Entry(principal: principal, expires: credential.expires)
        }
        entries.withLock { $0 = fresh }
    }

    /// Who presents `credential`; nil when it is unknown or expired.
    public func principal(presenting credential: Credential) -> Principal? {
        let hash = credential.hash
        guard let entry = entries.withLock({ $0[hash] }) else { return nil }
        if let expires = entry.expires, expires <= .now { return nil }
        return entry.principal
    }
}
