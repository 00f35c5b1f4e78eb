import CasemateModel

/// Who calls: the outcome of authentication.
public enum Principal: Sendable, Equatable {
    /// No credential came. Public functions answer, nothing else.
    case anonymous
    case administrator(KeyId)
    /// May call one function, or all of one namespace, and nothing else.
    case functionToken(TokenId, namespace: NamespaceId, function: FunctionId?)

    /// One of our functions, known by the sandbox that the call came from. Its name is what others list among their callers.
    case function(FunctionId, FunctionName)

    /// For records: who did it, never a credential.
    public var subject: String {
        switch self {
        case .anonymous: "anonymous"
        case .administrator(let id): "key:\(id)"
        case .functionToken(let id, _, _): "token:\(id)"
        case .function(let id, _): "function:\(id)"
        }
    }
}
