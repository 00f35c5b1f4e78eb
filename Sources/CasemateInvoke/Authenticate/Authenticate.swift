import CasemateIdentity
import CasemateModel

/// A call whose credential, if it has one, is valid. Made only by `Authenticate`.
package struct AuthenticatedCall {
    package let call: IncomingCall
    package let principal: Principal
    /// The credential's bytes: a function that prints what it was handed must not show it.
    package let token: [UInt8]?

    fileprivate init(call: IncomingCall, principal: Principal, token: [UInt8]?) {
        self.call = call
        self.principal = principal
        self.token = token
    }
}

/// Who calls. Asks memory only.
package struct Authenticate {
    let index: CredentialIndex

    /// - Throws: `.unauthenticated` for an unknown, expired or malformed credential, alike for all of them;
    ///   `.rateLimited` where many such come from one place.
    package func callAsFunction(_ call: IncomingCall) throws(Problem) -> AuthenticatedCall {
        switch call.credential {
        case .none: return AuthenticatedCall(call: call, principal: .anonymous, token: nil)
        case .malformed: throw Self.refusal
        case .sandbox(let id, let name): return AuthenticatedCall(call: call, principal: .function(id, name), token: nil)
        case .one(let credential, let inBearer):
            guard let principal = try index.principal(presenting: credential, from: call.source) else { throw Self.refusal }
            // A function token has a header of its own: in Authorization it would be taken for a right to the API.
            if inBearer, case .functionToken = principal { throw Self.refusal }
            return AuthenticatedCall(call: call, principal: principal, token: credential.utf8)
        }
    }

    static let refusal = Problem(
        .unauthenticated, "send a valid function token in X-Auth-Token, or an API key in Authorization: Bearer")
}
