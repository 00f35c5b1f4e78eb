import CasemateModel
import Foundation

/// Who made a call that runs later, as it is stored with the call: enough to ask then what they may still do, and no credential.
public struct QueuedCaller: Sendable, Codable, Equatable {
    private enum Kind: String, Codable { case anonymous, administrator, functionToken, serviceAccount, person, function, schedule }

    private var kind: Kind
    /// Of the credential, the account, the function or the schedule.
    private var id: String?
    private var subject: String?
    private var namespace: NamespaceId?
    private var function: FunctionId?
    private var functionName: FunctionName?
    private var key: KeyId?
    private var issuer: IssuerId?
    private var username: String?
    private var groups: [String]?
    private var signIn: SessionId?
    private var session: Session?

    /// Of a function that called on somebody's behalf.
    private struct Session: Codable, Equatable {
        var key: String
        var function: FunctionName
        var onBehalfOf: String
        var root: String
        var person: String?
        var isMachines: Bool
        var limits: [[Capability]]
    }

    /// - Parameter detached: for a session: what there is of it once its call has ended.
    public init(_ principal: Principal, detached: DetachedCaller? = nil) {
        if case .session(let session) = principal, let detached {
            self.init(detached.root)
            self.session = Session(
                key: Base64URL.encode(session.key.bytes), function: session.function, onBehalfOf: session.onBehalfOf, root: session.root,
                person: session.person, isMachines: session.isMachines, limits: detached.limits)
        } else {
            self.init(principal)
        }
    }

    private init(_ principal: Principal) {
        switch principal {
        case .anonymous, .session: kind = .anonymous
        case .administrator(let id): (kind, self.id) = (.administrator, id.text)
        case .functionToken(let id, let namespace, let function):
            (kind, self.id, self.namespace, self.function) = (.functionToken, id.text, namespace, function)
        case .serviceAccount(let account):
            (kind, id, subject, key) = (.serviceAccount, account.id.text, account.subject, account.key)
        case .person(let person):
            (kind, id, issuer, username) = (.person, person.id, person.issuer.id, person.username)
            (groups, signIn) = (person.groups.sorted(), person.signIn)
        case .function(let id, let name): (kind, self.id, functionName) = (.function, id.text, name)
        case .schedule(let schedule): (kind, id, function) = (.schedule, schedule.id.text, schedule.function)
        }
    }

    /// Them, as far as they are still known: without any right but those that are looked up when they are used. Nil once the issuer that
    /// named them is not trusted any more.
    public func principal(issuer trusted: (IssuerId) -> Issuer?) -> Principal? {
        guard let root = root(trusted) else { return nil }
        guard let session else { return root }
        guard let bytes = Base64URL.decode(session.key.utf8), let key = CredentialHash(bytes: bytes) else { return nil }
        return .session(
            SessionPrincipal(
                key: key, function: session.function, onBehalfOf: session.onBehalfOf, root: session.root, person: session.person,
                isMachines: session.isMachines, rights: .none, detached: DetachedCaller(root: root, limits: session.limits)))
    }

    private func root(_ trusted: (IssuerId) -> Issuer?) -> Principal? {
        switch kind {
        case .anonymous: .anonymous
        case .administrator: id.flatMap { KeyId($0) }.map { .administrator($0) }
        case .functionToken:
            namespace.flatMap { namespace in
                id.flatMap { TokenId($0) }.map { .functionToken($0, namespace: namespace, function: function) }
            }
        case .serviceAccount:
            id.flatMap { AccountId($0) }.map { .serviceAccount(AccountPrincipal(id: $0, key: key, subject: subject ?? "", rights: .none)) }
        case .person:
            issuer.flatMap(trusted).map {
                .person(
                    PersonPrincipal(
                        issuer: $0, id: id ?? "", username: username ?? "", groups: Set(groups ?? []), rights: .none, signIn: signIn))
            }
        case .function: id.flatMap { FunctionId($0) }.flatMap { id in functionName.map { .function(id, $0) } }
        case .schedule:
            id.flatMap { ScheduleId($0) }.flatMap { id in function.map { .schedule(SchedulePrincipal(id: id, function: $0)) } }
        }
    }

    public var encoded: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        // Nothing in it can't be encoded.
        return [UInt8]((try? encoder.encode(self)) ?? Data())
    }

    public init?(encoded: [UInt8]) {
        guard let decoded = try? JSONDecoder().decode(Self.self, from: Data(encoded)) else { return nil }
        self = decoded
    }
}
