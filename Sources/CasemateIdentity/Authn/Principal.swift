import CasemateModel

/// Who calls: the outcome of authentication.
public enum Principal: Sendable, Equatable {
    /// No credential came. Public functions answer, nothing else.
    case anonymous
    case administrator(KeyId)
    /// May call one function, or all of one namespace, and nothing else.
    case functionToken(TokenId, namespace: NamespaceId, function: FunctionId?)
    case serviceAccount(AccountPrincipal)
    /// Somebody who signed in at an issuer that is trusted.
    case person(PersonPrincipal)

    /// One of our functions, for the time of a call, on behalf of whoever made that.
    case session(SessionPrincipal)

    /// One of our functions, known by the sandbox that the call came from. Its name is what others list among their callers.
    case function(FunctionId, FunctionName)

    /// A schedule: of the function that it runs.
    case schedule(SchedulePrincipal)

    /// For records: who did it, never a credential.
    public var subject: String {
        switch self {
        case .anonymous: "anonymous"
        case .administrator(let id): "key:\(id)"
        case .functionToken(let id, _, _): "token:\(id)"
        case .serviceAccount(let account): account.subject
        case .person(let person): person.subject
        case .session(let session): session.subject
        case .function(let id, _): "function:\(id)"
        case .schedule(let schedule): "schedule:\(schedule.id)"
        }
    }

    /// Never another's, however it is called: what belongs to whom is kept by this.
    public var identity: String {
        switch self {
        case .serviceAccount(let account): "service-account:\(account.id)"
        // A name can be given to somebody else; an issuer's subject can't (OpenID Connect Core 1.0 §2).
        case .person(let person): "person:\(person.issuer.id):\(person.id)"
        case .session(let session): "session:\(Base64URL.encode(session.key.bytes))"
        case .anonymous, .administrator, .functionToken, .function, .schedule: subject
        }
    }

    /// What was granted to it. A function token's and a function's own ways in are not among them.
    public var rights: GrantedRights {
        switch self {
        case .administrator: .everything
        case .serviceAccount(let account): account.rights
        case .person(let person): person.rights
        case .session(let session): session.rights
        case .anonymous, .functionToken, .function, .schedule: .none
        }
    }

    /// What stands for the credential that was shown, where its holder may have several; nil for a client secret and for tokens.
    public var credential: String? {
        switch self {
        case .serviceAccount(let account): account.key.map { "credential:\($0)" }
        case .person(let person): person.signIn.map { "sign-in:\($0)" }
        case .anonymous, .administrator, .functionToken, .session, .function, .schedule: nil
        }
    }

    public var signIn: SessionId? {
        if case .person(let person) = self { person.signIn } else { nil }
    }

    /// A caller with a credential whom nobody can ask: neither somebody who has signed in, nor what acts for them.
    public var isMachine: Bool {
        switch self {
        case .anonymous, .function: false
        case .session(let session): session.isMachines
        case .administrator, .functionToken, .serviceAccount, .person, .schedule: !isSignedIn
        }
    }

    /// Somebody who can be asked, and must be before something acts for them. Everybody else is a machine.
    public var isSignedIn: Bool { signIn != nil }

    /// Whose an asynchronous call is. A function's own session ends with its call; what it queued for somebody is theirs and its.
    public var owner: String {
        if case .session(let session) = self { "\(session.function) for \(session.person ?? session.root)" } else { identity }
    }

    /// The subject of whoever began: a call on somebody's behalf counts as theirs, whatever it came through.
    public var root: String {
        if case .session(let session) = self { session.root } else { subject }
    }

    public var isSession: Bool {
        if case .session = self { true } else { false }
    }

    /// Whether its credential is one of the management API's.
    public var isForAPI: Bool {
        switch self {
        case .administrator, .serviceAccount, .person, .session: true
        case .anonymous, .functionToken, .function, .schedule: false
        }
    }
}

/// A service account as its calls carry it: with its rights, as they were when its credential was looked up.
public struct AccountPrincipal: Sendable, Equatable {
    public let id: AccountId
    /// Which of its credentials was shown; nil for its client secret.
    public let key: KeyId?
    /// `service-account:NAMESPACE/NAME`
    public let subject: String
    public let rights: GrantedRights

    package init(id: AccountId, key: KeyId? = nil, subject: String, rights: GrantedRights) {
        self.id = id
        self.key = key
        self.subject = subject
        self.rights = rights
    }

    public init(_ account: ServiceAccount, key: KeyId? = nil, rights: GrantedRights) {
        self.init(id: account.id, key: key, subject: account.subject, rights: rights)
    }
}

/// A person as their token names them, with what was granted to them and to their groups.
public struct PersonPrincipal: Sendable, Equatable {
    public let issuer: Issuer
    /// What the issuer calls them for good: its `sub`.
    public let id: String
    /// What grants call them.
    public let username: String
    public let groups: Set<String>
    public let rights: GrantedRights
    /// Where they have signed in, and not a program shown a token of theirs: they can be asked.
    public let signIn: SessionId?

    init(issuer: Issuer, id: String, username: String, groups: Set<String>, rights: GrantedRights, signIn: SessionId? = nil) {
        self.signIn = signIn
        self.issuer = issuer
        self.id = id
        self.username = username
        self.groups = groups
        self.rights = rights
    }

    /// Whom a token stands for, with no right but the token's own.
    public init(_ token: VerifiedToken) {
        self.init(issuer: token.issuer, id: token.subject, username: token.username, groups: token.groups, rights: .none)
    }

    /// Those by which they may have been granted something.
    public var subjects: Set<Subject> {
        Set(groups.map { .group(issuer.id, $0) } + [.user(issuer.id, username)])
    }

    /// `user:ISSUER:NAME`
    public var subject: String { "user:\(issuer.name):\(username)" }
}
