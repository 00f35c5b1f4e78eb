import CasemateModel
import NIOCore
import NIOHTTP1

/// What of a call is held against its function's schemas.
struct CallInput: Sendable {
    let query: Substring
    let headers: HTTPHeaders
    let body: ByteBuffer

    /// - Throws: `.unavailable` for a body that is not here as a whole: its function had no schema when it began to come.
    init(_ call: IncomingCall, _ body: RequestBody) throws(Problem) {
        guard let whole = body.whole else {
            throw Problem(.unavailable, "the function was changed while the request came; send it again", retryAfterSeconds: 1)
        }
        query = call.query
        headers = call.headers
        self.body = whole
    }
}
