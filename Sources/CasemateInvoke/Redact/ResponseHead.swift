import CasemateModel
import CasemateVault
import NIOHTTP1

/// Status and header fields of a function's response, checked and redacted.
struct ResponseHead {
    let status: HTTPResponseStatus
    var headers = HTTPHeaders()
    var hits = 0

    /// Hop-by-hop fields are the gateway's (RFC 9110 §7.6.1), as is the length of what really leaves.
    private static let notTheFunctions = FieldNames(
        [
            "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
            "transfer-encoding", "upgrade", "content-length", "date", "server", "strict-transport-security", "alt-svc",
        ], prefixes: ["casemate-"])
    private static let mostFields = 128

    init(_ reply: Reply, call: CallId, redactor: Redactor) throws(Problem) {
        guard (200...599).contains(reply.status) else { throw Self.refusal("its status \(reply.status) is not 200 to 599") }
        guard reply.headers.count <= Self.mostFields else { throw Self.refusal("it has more than \(Self.mostFields) header fields") }
        status = HTTPResponseStatus(statusCode: reply.status)
        for (name, value) in reply.headers {
            guard Self.isToken(name), Self.isFieldValue(value) else {
                throw Self.refusal("a header field has a character that HTTP forbids")
            }
            if Self.notTheFunctions.contains(name) { continue }
            // A name can't hold a mark: a value in a name is blocked.
            guard !redactor.contains(name) else {
                throw Problem(
                    .secretInResponse, "the name of a header field of the function's response holds the value of one of its secrets")
            }
            if let clean = redactor.redact(value) {
                hits += clean.hits
                headers.add(name: name, value: String(decoding: clean.bytes, as: UTF8.self))
            } else {
                headers.add(name: name, value: value)
            }
        }
        headers.add(name: "casemate-call-id", value: call.text)
    }

    private static func refusal(_ what: String) -> Problem { Problem(.badResult, "the function's result is not an HTTP response: \(what)") }

    /// RFC 9110 §5.6.2
    static func isToken(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy {
                (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || "!#$%&'*+-.^_`|~".utf8.contains($0)
            }
    }

    /// RFC 9110 §5.5: visible, space and tab; obs-text as it is.
    static func isFieldValue(_ text: String) -> Bool { text.utf8.allSatisfy { $0 >= 32 && $0 != 127 || $0 == 9 } }
}
