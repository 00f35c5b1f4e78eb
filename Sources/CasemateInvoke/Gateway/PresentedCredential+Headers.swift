import CasemateIdentity
import NIOHTTP1

extension PresentedCredential {
    /// `X-Auth-Token`, or `Authorization: Bearer`. Both, if they agree.
    init(_ headers: HTTPHeaders) {
        var shown = headers["x-auth-token"]
        for value in headers["authorization"] {
            let parts = value.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "bearer" else {
                self = .malformed
                return
            }
            shown.append(parts[1].trimmingSpaces)
        }
        guard let first = shown.first else {
            self = .none
            return
        }
        if shown.count == 1, headers["x-auth-token"].isEmpty, IssuerRegistry.isLikely(first) {
            self = .token(first)
            return
        }
        guard shown.allSatisfy({ $0 == first }), let credential = Credential(first) else {
            self = .malformed
            return
        }
        self = .one(credential, inBearer: headers["x-auth-token"].isEmpty)
    }
}

extension PresentedCredential {
    /// Out of a sandbox only a session of its own calls counts; a function that shows anything else comes as itself.
    init(_ headers: HTTPHeaders, from link: FunctionLink) {
        if case .one(let credential, inBearer: true) = PresentedCredential(headers), credential.isSession {
            self = .session(credential, sandbox: link.sandbox)
        } else {
            self = .sandbox(link.callerId, link.caller)
        }
    }
}

extension Substring {
    fileprivate var trimmingSpaces: String {
        var text = self
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
