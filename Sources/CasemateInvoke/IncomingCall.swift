import CasemateIdentity
import CasemateModel
import NIOCore
import NIOHTTP1

/// A request as it came to the gateway, its credential taken out of the headers.
package struct IncomingCall {
    package let id: CallId
    package let method: HTTPMethod
    /// `namespace/function` as written; not yet known to be a name of ours.
    package let target: Substring
    /// What follows the function in the path, with its leading slash; "/" when nothing does.
    package let path: Substring
    /// Without the question mark.
    package let query: Substring
    /// Ready for the function: no credentials, no hop-by-hop fields, forwarding fields rebuilt.
    package internal(set) var headers: HTTPHeaders
    package let credential: PresentedCredential
    package let received: NIODeadline
    /// Nil for a call out of a sandbox.
    package var source: CallerSource?
    /// The caller asked for `Server-Timing`.
    package var wantsTiming = false
    /// The one value of the field that names a session made before.
    package var nonce: Substring?
    /// How many calls wait for this one, each for the next.
    package var depth = 0
    /// Its caller does not wait for the answer; nil for one that does.
    var asynchronous: AsyncWish?
}

/// What the caller showed.
package enum PresentedCredential {
    case none
    /// Two different ones, or something that can't be one.
    case malformed
    case one(Credential, inBearer: Bool)
    /// A JSON Web Token, not yet looked at.
    case token(String)
    /// The session of a call that this sandbox runs.
    case session(Credential, sandbox: UInt32)
    /// None was shown: the call comes out of this function's sandbox.
    case sandbox(FunctionId, FunctionName)
    /// It was shown when the call came, which has waited since.
    case accepted(AcceptedCaller)
}
