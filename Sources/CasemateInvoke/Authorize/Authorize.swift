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
    let issuers: IssuerRegistry

    /// - Throws: `.unauthenticated` without a credential, alike for private and unknown functions; `.notFound` for a function that the
    ///   holder may not know; `.forbidden` for one that it may know but not call.
    package func callAsFunction(_ authenticated: AuthenticatedCall) throws(Problem) -> AuthorizedCall {
        let function = catalog.function(named: authenticated.call.target)
        // Whom the callee lists, also where anyone else may call it: the way between functions is closed unless both ends are named.
        if case .function(let id, let name) = authenticated.principal {
            // One that is deleted may still run, and another may have its name by now.
            guard catalog.function(id)?.name == name, let function, function.mayBeCalled(by: name) else { throw Self.unknown }
            try checkDepth(of: authenticated.call)
            return AuthorizedCall(authenticated, function: function)
        }
        try checkDepth(of: authenticated.call)
        switch authenticated.accessToken {
        case nil: break
        case let token? where token.isOwn:
            // For one function alone, public ones not excepted: with the call comes what its holder may do.
            try checkScope(of: token, for: authenticated.call.target)
        case let token?: return AuthorizedCall(authenticated, function: try self.function(function, authenticated.call.target, for: token))
        }
        // A session opens what its caller may call, and no more: between functions nothing is open to all.
        if let function, function.spec?.access == .public, !authenticated.principal.isSession {
            return AuthorizedCall(authenticated, function: function)
        }
        switch authenticated.principal {
        case .anonymous, .function: throw Authenticate.refusal
        case .administrator, .serviceAccount, .person, .session:
            guard let function else { throw Self.unknown }
            let rights = authenticated.principal.rights.on(.function(function.id, in: function.namespaceId))
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

    /// A token of an identity provider opens what it was made out for, and no more: a function by its scope or its audience. What its holder
    /// may do at the API does not count here, or one stolen token would open all that the person may call.
    /// - Throws: `.unauthenticated` for a token that is for somebody else; `.insufficientScope`, alike for functions that there are and that
    ///   there are not.
    private func function(_ function: Deployed?, _ target: Substring, for token: VerifiedToken) throws(Problem) -> Deployed {
        guard let name = FunctionName(target) else { throw Self.unknown }
        let rules = function?.spec?.tokenRules
        let isForFunction = token.isFor(
            issuers.audiences(of: name) + (rules?.audiences ?? []).filter { !token.issuer.audiences.contains($0) })
        guard isForFunction || token.isFor(token.issuer.audiences) else { throw Authenticate.refusal }
        if let function, function.spec?.access == .public { return function }
        let scope = "fn:\(name)"
        guard isForFunction || token.scopes.contains(scope) || token.scopes.contains(scope + ":invoke") else {
            throw Self.lacks(scope, name)
        }
        guard let function else { throw Self.unknown }
        try rules?.check(token, name)
        return function
    }

    private func checkScope(of token: VerifiedToken, for target: Substring) throws(Problem) {
        guard let name = FunctionName(target) else { throw Self.unknown }
        guard token.isFor(issuers.audiences(of: name)) else { throw Self.lacks("fn:\(name)", name) }
    }

    static func lacks(_ scope: String, _ name: FunctionName) -> Problem {
        Problem(.insufficientScope, "the token is not for \(name): it lacks the scope \(scope)", reason: scope)
    }

    private func checkDepth(of call: IncomingCall) throws(Problem) {
        guard call.depth <= Self.deepest else { throw Problem(.loopDetected, "more than \(Self.deepest) calls wait for this one") }
    }

    private static let deepest = 16
    private static let unknown = Problem(.notFound, "there is no such function")
}
