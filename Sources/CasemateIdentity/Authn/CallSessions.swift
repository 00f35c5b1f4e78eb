import CasemateModel
import Synchronization

/// The sessions of the calls that run now: each lets a function do, for one call, what it declares and its caller may.
///
/// In memory alone. A session ends with its call; what it gives is worked out anew at each use, so that a right that is taken from its
/// caller is gone from it, too.
public final class CallSessions: Sendable {
    private struct Session {
        var function: FunctionId
        var name: FunctionName
        var caller: Principal
        var capabilities: [Capability]
    }

    private let sessions: Mutex<[CredentialHash: Session]> = Mutex([:])
    private let rightsNow: @Sendable (Principal) -> GrantedRights
    private let resource: @Sendable (FunctionName) -> Resource?

    /// - Parameters:
    ///   - rightsNow: what somebody may do at this moment; nothing once they are gone. Not asked for sessions.
    ///   - resource: a function by its name, while it is there.
    public init(
        rightsNow: @Sendable @escaping (Principal) -> GrantedRights, resource: @Sendable @escaping (FunctionName) -> Resource?
    ) {
        self.rightsNow = rightsNow
        self.resource = resource
    }

    /// Begins the session of a call.
    /// - Parameters:
    ///   - key: random, of 122 bits at least, and never used before.
    ///   - caller: on whose behalf the function runs.
    public func begin(_ key: Credential, of function: FunctionId, _ name: FunctionName, for caller: Principal, _ capabilities: [Capability])
    {
        let session = Session(function: function, name: name, caller: caller, capabilities: capabilities)
        sessions.withLock { $0[key.hash] = session }
    }

    /// Its call is over.
    public func end(_ key: Credential) { sessions.withLock { _ = $0.removeValue(forKey: key.hash) } }

    /// Whose session `key` is; nil unless its call runs, and for another function's sandbox than its own.
    public func principal(presenting key: Credential, in function: FunctionId) -> Principal? {
        let hash = key.hash
        guard let session = sessions.withLock({ $0[hash] }), session.function == function else { return nil }
        return .session(
            SessionPrincipal(
                key: hash, function: session.name, onBehalfOf: session.caller.subject, rights: rights(of: session)))
    }

    private func rights(of session: Session) -> GrantedRights {
        let caller: GrantedRights
        if case .session(let outer) = session.caller {
            // Its own call must still run.
            guard let before = sessions.withLock({ $0[outer.key] }) else { return .none }
            caller = rights(of: before)
        } else {
            caller = rightsNow(session.caller)
        }
        return session.capabilities.reduce(into: .none) { all, capability in
            guard let resource = resource(capability.function), caller.has(capability.right, on: resource) else { return }
            all = all.union(GrantedRights(Rights(capability.right), on: resource))
        }
    }
}

/// A function that acts for its caller, as far as both may.
public struct SessionPrincipal: Sendable, Equatable {
    let key: CredentialHash
    public let function: FunctionName
    /// The caller's subject.
    public let onBehalfOf: String
    public let rights: GrantedRights

    /// `CALLER via fn:NAMESPACE/FUNCTION`
    public var subject: String { "\(onBehalfOf) via fn:\(function)" }
}
