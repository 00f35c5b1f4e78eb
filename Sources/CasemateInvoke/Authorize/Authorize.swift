import CasemateIdentity
import CasemateModel

/// A call whose principal may invoke `function`. Made only by `Authorize`.
package struct AuthorizedCall {
    package let call: IncomingCall
    package let principal: Principal
    package let token: [UInt8]?
    package let function: Deployed

    fileprivate init(_ authenticated: AuthenticatedCall, function: Deployed) {
        call = authenticated.call
        principal = authenticated.principal
        token = authenticated.token
        self.function = function
    }
}

/// Whether that principal may call that function. Default deny.
package struct Authorize {
    let catalog: Catalog

    /// - Throws: `.unauthenticated` without a credential, alike for private and unknown functions; `.notFound` for a function that the
    ///   holder may not know; `.forbidden` for one that it may know but not call.
    package func callAsFunction(_ authenticated: AuthenticatedCall) throws(Problem) -> AuthorizedCall {
        let function = catalog.function(named: authenticated.call.target)
        // Whom the callee lists, also where anyone else may call it: the way between functions is closed unless both ends are named.
        if case .function(let id, let name) = authenticated.principal {
            // One that is deleted may still run, and another may have its name by now.
            guard catalog.function(id)?.name == name, let function, function.mayBeCalled(by: name) else { throw Self.unknown }
            guard authenticated.call.depth <= Self.deepest else {
                throw Problem(.loopDetected, "more than \(Self.deepest) calls wait for this one")
            }
            return AuthorizedCall(authenticated, function: function)
        }
        if let function, function.spec?.access == .public { return AuthorizedCall(authenticated, function: function) }
        switch authenticated.principal {
        case .anonymous, .function: throw Authenticate.refusal
        case .administrator:
            guard let function else { throw Self.unknown }
            return AuthorizedCall(authenticated, function: function)
        case .serviceAccount(let account):
            guard let function else { throw Self.unknown }
            let rights = account.rights.on(.function(function.id, in: function.namespaceId))
            guard !rights.isEmpty else { throw Self.unknown }
            guard rights.contains(.functionInvoke) else {
                throw Problem(.forbidden, "to call \(function.name) takes the right \(Right.functionInvoke.rawValue)")
            }
            return AuthorizedCall(authenticated, function: function)
        case .functionToken(_, let namespace, let only):
            guard let function, function.namespaceId == namespace, only == nil || only == function.id else { throw Self.unknown }
            return AuthorizedCall(authenticated, function: function)
        }
    }

    private static let deepest = 16
    private static let unknown = Problem(.notFound, "there is no such function")
}
