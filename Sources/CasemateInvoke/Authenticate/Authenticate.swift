import CasemateIdentity
import CasemateModel
import NIOHTTP1

/// A call whose credential, if it has one, is valid. Made only by `Authenticate`.
package struct AuthenticatedCall {
    package let call: IncomingCall
    package let principal: Principal
    /// The credential's bytes: a function that prints what it was handed must not show it.
    package let token: [UInt8]?
    /// Where the credential is a token that says itself which function it is for.
    package let accessToken: VerifiedToken?

    fileprivate init(call: IncomingCall, principal: Principal, token: [UInt8]?, accessToken: VerifiedToken? = nil) {
        self.call = call
        self.principal = principal
        self.token = token
        self.accessToken = accessToken
    }
}

/// Who calls. Asks memory only.
package struct Authenticate {
    let index: CredentialIndex
    let issuers: IssuerRegistry
    let sessions: CallSessions

    /// Whose keys must be fetched before it can be said who calls; nil where that can be said, or can't at all.
    func issuer(neededFor call: IncomingCall) -> IssuerId? {
        guard case .token(let text) = call.credential, issuers.isKnown(text) || (try? index.isNew(from: call.source)) != nil,
            case .needsKeys(let id, _) = issuers.verify(text)
        else { return nil }
        return id
    }

    /// - Throws: `.unauthenticated` for an unknown, expired or malformed credential, alike for all of them;
    ///   `.rateLimited` where many such come from one place.
    package func callAsFunction(_ call: IncomingCall) throws(Problem) -> AuthenticatedCall {
        switch call.credential {
        case .none: return AuthenticatedCall(call: call, principal: .anonymous, token: nil)
        case .malformed: throw Self.refusal
        case .accepted(let caller): return AuthenticatedCall(call: call, principal: caller.principal, token: nil)
        case .sandbox(let id, let name): return AuthenticatedCall(call: call, principal: .function(id, name), token: nil)
        case .session(let key, let sandbox):
            guard let principal = sessions.principal(presenting: key, in: sandbox) else { throw Self.noSession }
            // Of no use anywhere else: nobody needs to look for it.
            return AuthenticatedCall(call: call, principal: principal, token: nil)
        case .token(let text):
            if !issuers.isKnown(text) { try index.isNew(from: call.source) }
            switch issuers.verify(text) {
            case .valid(let token):
                guard let principal = principal(of: token) else { throw Self.refusal }
                // The claims are handed on; what makes it a credential is the signature.
                let signature = text.utf8.split(separator: UInt8(ascii: ".")).last.map { Array($0) }
                return AuthenticatedCall(
                    call: call.telling(token), principal: principal, token: signature, accessToken: token)
            case .refused, .needsKeys(_, hasSome: true):
                try index.failed(from: call.source)
                throw Self.refusal
            case .needsKeys, .unavailable:
                throw Problem(.unavailable, "the token's issuer can't be asked for its keys", retryAfterSeconds: 15)
            }
        case .one(let credential, let inBearer):
            guard let principal = try index.principal(presenting: credential, from: call.source) else { throw Self.refusal }
            // A function token has a header of its own: in Authorization it would be taken for a right to the API.
            if inBearer, case .functionToken = principal { throw Self.refusal }
            return AuthenticatedCall(call: call, principal: principal, token: credential.utf8)
        }
    }

    /// A provider's token opens what it says itself: what was granted to the person does not count. One of our own says for whom it was made.
    private func principal(of token: VerifiedToken) -> Principal? {
        token.isOwn
            ? index.holder(of: token) { issuers.issuer($0) } : token.issuer.isForPipelines ? nil : .person(PersonPrincipal(token))
    }

    static let noSession = Problem(
        .unauthenticated, "send the session of the call that runs, in Authorization: Bearer, or no credential")
    static let refusal = Problem(
        .unauthenticated, "send a valid function token in X-Auth-Token, or an API key in Authorization: Bearer")
}

extension IncomingCall {
    /// With what the token says, for the function; nobody outside can set that field.
    fileprivate func telling(_ token: VerifiedToken) -> IncomingCall {
        var call = self
        call.headers.add(name: "Casemate-Claims", value: token.encodedClaims)
        return call
    }
}
