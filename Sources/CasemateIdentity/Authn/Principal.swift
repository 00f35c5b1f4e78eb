import CasemateModel

/// Who calls: the outcome of authentication.
public enum Principal: Sendable, Equatable {
    /// No credential came. Public functions answer, nothing else.
    case anonymous
    case administrator(KeyId)
    /// May call one function, or all of one namespace, and nothing else.
    case functionToken(TokenId, namespace: NamespaceId, function: FunctionId?)
    case serviceAccount(AccountPrincipal)

    /// One of our functions, known by the sandbox that the call came from. Its name is what others list among their callers.
    case function(FunctionId, FunctionName)

    /// For records: who did it, never a credential.
    public var subject: String {
        switch self {
        case .anonymous: "anonymous"
        case .administrator(let id): "key:\(id)"
        case .functionToken(let id, _, _): "token:\(id)"
        case .serviceAccount(let account): account.subject
        case .function(let id, _): "function:\(id)"
        }
    }

    /// Never another's, however it is called: what belongs to whom is kept by this.
    public var identity: String {
        if case .serviceAccount(let account) = self { return "service-account:\(account.id)" }
        return subject
    }

    /// What was granted to it. A function token's and a function's own ways in are not among them.
    public var rights: GrantedRights {
        switch self {
        case .administrator: .everything
        case .serviceAccount(let account): account.rights
        case .anonymous, .functionToken, .function: .none
        }
    }

    /// Whether its credential is one of the management API's.
    public var isForAPI: Bool {
        switch self {
        case .administrator, .serviceAccount: true
        case .anonymous, .functionToken, .function: false
        }
    }
}

/// A service account as its calls carry it: with its rights, as they were when its credential was looked up.
public struct AccountPrincipal: Sendable, Equatable {
    public let id: AccountId
    /// `service-account:NAMESPACE/NAME`
    public let subject: String
    public let rights: GrantedRights

    public init(_ account: ServiceAccount, rights: GrantedRights) {
        id = account.id
        subject = account.subject
        self.rights = rights
    }
}
