import CasemateIdentity
import CasemateModel

/// A call whose principal may invoke `function`. Made only by `Authorize`.
package struct AuthorizedCall {
    package let call: IncomingCall
    package let principal: Principal
    package let token: [UInt8]?
    package let function: Deployed
    /// Of a function whose calls are split.
    package fileprivate(set) var turn: Split.Turn?

    fileprivate init(_ authenticated: AuthenticatedCall, _ function: Deployed, as principal: Principal? = nil) {
        call = authenticated.call
        self.principal = principal ?? authenticated.principal
        token = authenticated.token
        self.function = function
    }
}

/// Whether that principal may call that function. Default deny.
package struct Authorize: Sendable {
    let catalog: Catalog
    let issuers: IssuerRegistry
    let consents: Consents

    /// - Throws: `.unauthenticated` without a credential, alike for private and unknown functions; `.notFound` for a function that the
    ///   holder may not know; `.forbidden` for one that it may know but not call.
    package func callAsFunction(_ authenticated: AuthenticatedCall) throws(Problem) -> AuthorizedCall {
        let active = catalog.function(named: authenticated.call.target)
        var authorized = try authorize(authenticated, active)
        // Who may not call the other revision, or did not agree to it, stays here and takes no turn.
        guard let other = active?.other, let split = active?.split, mayTry(other, authenticated),
            let tried = try? authorize(authenticated, other)
        else { return authorized }
        let turn = split.turn()
        if turn.isOthers { authorized = tried }
        authorized.turn = turn
        return authorized
    }

    /// Who was asked about what is live is not asked again for a trial of what may come.
    private func mayTry(_ other: Deployed, _ authenticated: AuthenticatedCall) -> Bool {
        guard let revision = other.revision else { return false }
        func hasAgreed(_ identity: String) -> Bool { consents.given(by: identity, to: revision.id) != nil }
        // For whom it acts is told by the nonce alone, later.
        if authenticated.call.nonce != nil { return false }
        if case .session(let session) = authenticated.principal, let person = session.person { return hasAgreed(person) }
        return !authenticated.principal.isSignedIn || hasAgreed(authenticated.principal.identity)
    }

    private func authorize(_ authenticated: AuthenticatedCall, _ function: Deployed?) throws(Problem) -> AuthorizedCall {
        // It was, when it came. What may be done on somebody's behalf is another question, and asked now.
        if case .accepted(let caller) = authenticated.call.credential {
            guard let function, function.id == caller.function else { throw Self.unknown }
            try checkDepth(of: authenticated.call)
            return try agreed(authenticated, function)
        }
        // Whom the callee lists, also where anyone else may call it: the way between functions is closed unless both ends are named.
        if case .function(let id, let name) = authenticated.principal {
            // One that is deleted may still run, and another may have its name by now.
            guard catalog.function(id)?.name == name, let function, function.mayBeCalled(by: name) else { throw Self.unknown }
            try checkDepth(of: authenticated.call)
            return try agreed(authenticated, function)
        }
        try checkDepth(of: authenticated.call)
        switch authenticated.accessToken {
        case nil: break
        case let token? where token.isOwn:
            // For one function alone, public ones not excepted: with the call comes what its holder may do.
            try checkScope(of: token, for: authenticated.call.target)
        case let token?: return try agreed(authenticated, try self.function(function, authenticated.call.target, for: token))
        }
        // A session opens what its caller may call, and no more: between functions nothing is open to all.
        if let function, function.spec?.access == .public, !authenticated.principal.isSession {
            // Who could not agree to it calls it as anybody does.
            if authenticated.principal.isSignedIn, !authenticated.principal.rights.has(.functionInvoke, on: function.resource) {
                return AuthorizedCall(authenticated, function, as: .anonymous)
            }
            return try agreed(authenticated, function)
        }
        switch authenticated.principal {
        case .anonymous, .function, .schedule: throw Authenticate.refusal
        case .administrator, .serviceAccount, .person, .session:
            guard let function else { throw Self.unknown }
            let rights = authenticated.principal.rights.on(.function(function.id, in: function.namespaceId))
            guard !rights.isEmpty else { throw Self.unknown }
            guard rights.contains(.functionInvoke) else {
                throw Problem(.forbidden, "to call \(function.name) takes the right \(Right.functionInvoke.rawValue)")
            }
            return try agreed(authenticated, function)
        case .functionToken(_, let namespace, let only):
            guard let function, function.namespaceId == namespace, only == nil || only == function.id else { throw Self.unknown }
            return try agreed(authenticated, function)
        }
    }

    /// A token of an identity provider opens what it was made out for, and no more: a function by its scope or its audience. What its holder
    /// may do at the API does not count here, or one stolen token would open all that the person may call.
    /// - Throws: `.unauthenticated` for a token that is for somebody else; `.insufficientScope`, alike for functions that there are and that
    ///   there are not.
    private func function(_ function: Deployed?, _ target: Substring, for token: VerifiedToken) throws(Problem) -> Deployed {
        guard let name = FunctionName(target) else { throw Self.unknown }
        let rules = function?.spec?.tokenRules
        let isForFunction = token.isFor(issuers.audiences(of: name) + (function.map { furtherAudiences($0, token.issuer) } ?? []))
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

    /// What a function's own rules take for it besides its URL. Never where its calls act for their callers: whoever deploys it could make a
    /// token that was meant for something else act for its holder here. Nor what stands for this server, for its sign-ins or for a function.
    private func furtherAudiences(_ function: Deployed, _ issuer: Issuer) -> [String] {
        guard function.spec?.capabilities == nil else { return [] }
        return (function.spec?.tokenRules?.audiences ?? []).filter { audience in
            !issuer.audiences.contains(audience) && audience != issuer.clientId && !issuers.isFunctionURL(audience)
        }
    }

    /// Whether a token may be shown for what became of a function's calls: it is for that function alone, here as for calling it. Whatever
    /// else its holder may do, a token does not open.
    func opens(_ token: VerifiedToken, _ function: Deployed) -> Bool {
        token.isOwn
            ? token.isFor(issuers.audiences(of: function.name))
            : (try? self.function(function, function.name.description[...], for: token)) != nil
    }

    private func checkScope(of token: VerifiedToken, for target: Substring) throws(Problem) {
        guard let name = FunctionName(target) else { throw Self.unknown }
        guard token.isFor(issuers.audiences(of: name)) else { throw Self.lacks("fn:\(name)", name) }
    }

    static func lacks(_ scope: String, _ name: FunctionName) -> Problem {
        Problem(.insufficientScope, "the token is not for \(name): it lacks the scope \(scope)", reason: scope)
    }

    private func agreed(_ authenticated: AuthenticatedCall, _ function: Deployed) throws(Problem) -> AuthorizedCall {
        try checkAgreement(of: authenticated.principal, with: function)
        return AuthorizedCall(authenticated, function)
    }

    /// Whoever can be asked has been, for what runs now: it may act for them. For machines their namespace's policy has answered.
    /// - Throws: `.consentRequired` naming the revision; `.forbidden`.
    func checkAgreement(of principal: Principal, with function: Deployed) throws(Problem) {
        if principal.isSignedIn, let revision = function.revision, consents.given(by: principal.identity, to: revision.id) == nil {
            throw Problem(
                .consentRequired,
                "see what revision \(revision.number) of \(function.name) may do, and agree: casemate consent \(function.name)",
                reason: "\(revision.number)")
        }
        if principal.isMachine, !function.policy.machines.isEmpty,
            let why = function.policy.machines.refusal(of: function.spec?.capabilities ?? [], signer: function.signerKey)
        {
            throw Problem(.forbidden, "machines may not call \(function.name): \(why)")
        }
    }

    /// What a session of `principal`'s call may have of what the function declares: nothing where somebody is acted for who did not agree to
    /// this, the function that they called being another.
    func capabilities(of function: Deployed, for principal: Principal) -> [Capability] {
        if case .session(let session) = principal, let person = session.person,
            function.revision.map({ consents.given(by: person, to: $0.id) == nil }) ?? true
        {
            return []
        }
        return function.spec?.capabilities ?? []
    }

    private func checkDepth(of call: IncomingCall) throws(Problem) {
        guard call.depth <= Self.deepest else { throw Problem(.loopDetected, "more than \(Self.deepest) calls wait for this one") }
    }

    private static let deepest = 16
    private static let unknown = Problem(.notFound, "there is no such function")
}
