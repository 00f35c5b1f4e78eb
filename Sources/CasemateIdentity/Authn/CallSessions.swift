import CasemateModel
import Synchronization

/// The sessions of the calls that run now: each lets a function do, for one call, what it declares and its caller may.
///
/// In memory alone. A session ends with its call; what it gives is worked out anew at each use, so that a right that is taken from its
/// caller is gone from it, too.
public final class CallSessions: Sendable {
    /// What a session gives, and where it counts.
    public struct Session: Sendable {
        let function: FunctionId
        let name: FunctionName
        let caller: Principal
        let capabilities: [Capability]

        /// - Parameter caller: on whose behalf the function runs.
        public init(of function: FunctionId, _ name: FunctionName, for caller: Principal, _ capabilities: [Capability]) {
            self.function = function
            self.name = name
            self.caller = caller
            self.capabilities = capabilities
        }
    }

    private struct Running {
        var session: Session
        var sandbox: UInt32
    }

    private let running: Mutex<[CredentialHash: Running]> = Mutex([:])
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

    /// Its call begins to run in `sandbox`.
    /// - Parameter key: random, of 122 bits at least, and never used before.
    public func begin(_ session: Session, _ key: Credential, in sandbox: UInt32) {
        running.withLock { $0[key.hash] = Running(session: session, sandbox: sandbox) }
    }

    /// Its call is over.
    public func end(_ key: Credential) { running.withLock { _ = $0.removeValue(forKey: key.hash) } }

    /// Whose session `key` is; nil unless its call runs in that sandbox, for a function that is still there.
    public func principal(presenting key: Credential, in sandbox: UInt32) -> Principal? {
        let hash = key.hash
        guard let found = running.withLock({ $0[hash] }), found.sandbox == sandbox else { return nil }
        let session = found.session
        // One that is deleted may still run, and another may have its name by now.
        guard case .function(session.function, _)? = resource(session.name) else { return nil }
        let root: String
        let person: String?
        if case .session(let outer) = session.caller {
            (root, person) = (outer.root, outer.person)
        } else {
            (root, person) = (session.caller.subject, session.caller.isSignedIn ? session.caller.identity : nil)
        }
        return .session(
            SessionPrincipal(
                key: hash, function: session.name, onBehalfOf: session.caller.subject, root: root, person: person,
                isMachines: session.caller.isMachine,
                rights: rights(of: session)))
    }

    /// Whether its call still runs, or never has to.
    public func isRunning(_ principal: SessionPrincipal) -> Bool {
        principal.detached != nil || running.withLock { $0[principal.key] != nil }
    }

    /// What is left of a session when its call has ended, for a call that it makes now and that runs then; nil where it has ended already.
    public func detached(_ principal: SessionPrincipal) -> DetachedCaller? {
        if let detached = principal.detached { return detached }
        guard let session = running.withLock({ $0[principal.key] })?.session else { return nil }
        guard case .session(let outer) = session.caller else {
            return DetachedCaller(root: session.caller, limits: [session.capabilities])
        }
        return detached(outer).map { DetachedCaller(root: $0.root, limits: $0.limits + [session.capabilities]) }
    }

    private func rights(of session: Session) -> GrantedRights {
        let caller: GrantedRights
        if case .session(let outer) = session.caller {
            if let detached = outer.detached {
                caller = detached.limits.reduce(rightsNow(detached.root)) { limited($0, to: $1) }
            } else {
                // Its own call must still run.
                guard let before = running.withLock({ $0[outer.key] }) else { return .none }
                caller = rights(of: before.session)
            }
        } else {
            caller = rightsNow(session.caller)
        }
        return limited(caller, to: session.capabilities)
    }

    private func limited(_ caller: GrantedRights, to capabilities: [Capability]) -> GrantedRights {
        capabilities.reduce(into: .none) { all, capability in
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
    /// That of whoever made the first call.
    public let root: String
    /// Their identity, where they have signed in.
    public let person: String?
    /// Whether that was a machine.
    let isMachines: Bool
    public let rights: GrantedRights
    /// Of a call that was accepted to run later.
    public let detached: DetachedCaller?

    init(
        key: CredentialHash, function: FunctionName, onBehalfOf: String, root: String, person: String?, isMachines: Bool,
        rights: GrantedRights, detached: DetachedCaller? = nil
    ) {
        self.key = key
        self.function = function
        self.onBehalfOf = onBehalfOf
        self.root = root
        self.person = person
        self.isMachines = isMachines
        self.rights = rights
        self.detached = detached
    }

    /// `CALLER via fn:NAMESPACE/FUNCTION`
    public var subject: String { "\(onBehalfOf) via fn:\(function)" }
}
