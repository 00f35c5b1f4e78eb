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
    ///   holder may not know.
    package func callAsFunction(_ authenticated: AuthenticatedCall) throws(Problem) -> AuthorizedCall {
        let function = catalog.function(named: authenticated.call.target)
        if let function, function.spec?.access == .public { return AuthorizedCall(authenticated, function: function) }
        switch authenticated.principal {
        case .anonymous: throw Authenticate.refusal
        case .administrator:
            guard let function else { throw Self.unknown }
            return AuthorizedCall(authenticated, function: function)
        case .functionToken(_, let namespace, let only):
            guard let function, function.namespaceId == namespace, only == nil || only == function.id else { throw Self.unknown }
            return AuthorizedCall(authenticated, function: function)
        }
    }

    private static let unknown = Problem(.notFound, "there is no such function")
}
