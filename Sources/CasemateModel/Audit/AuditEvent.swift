/// One security-relevant act, before it has its place in the log. It never holds a secret's value: only names, numbers and fingerprints.
public struct AuditEvent: Sendable, Equatable {
    public enum Outcome: String, Sendable { case done, refused, failed }

    public var kind: AuditKind
    public var outcome: Outcome
    /// Who did it, as `Principal.subject` says it; nil for whoever the request at hand is from, and without one for the server itself.
    public var actor: String?
    /// Where it came from: an address.
    public var source: String?
    /// The request's or the call's id, as whoever asked was told it.
    public var request: String?
    public var scope: Scope
    /// What else there is to say, in a few words each.
    public var details: [String: String]

    /// What it was done to: whoever reads the log of one namespace sees what concerns that.
    public enum Scope: Sendable, Equatable {
        case platform
        case namespace(NamespaceId, NamespaceName)
        case function(FunctionId, FunctionName, in: NamespaceId)
    }

    public init(
        _ kind: AuditKind, _ scope: Scope = .platform, outcome: Outcome = .done, actor: String? = nil, source: String? = nil,
        request: String? = nil, _ details: [String: String] = [:]
    ) {
        self.kind = kind
        self.outcome = outcome
        self.actor = actor
        self.source = source
        self.request = request
        self.scope = scope
        self.details = details
    }

    /// One on the server as a whole.
    public init(_ kind: AuditKind, outcome: Outcome = .done, actor: String? = nil, _ details: [String: String]) {
        self.init(kind, .platform, outcome: outcome, actor: actor, details)
    }

    /// Details for a list that may be long: `secrets`, `secrets2` and so on, each with as many as fit, and how many are left out.
    public static func listed(_ name: String, _ entries: [String]) -> [String: String] {
        var details: [String: String] = [:]
        var rest = entries[...]
        for number in 1...mostDetails / 2 where !rest.isEmpty {
            var text = ""
            while let next = rest.first, text.isEmpty || text.utf8.count + 1 + next.utf8.count <= longestDetail {
                text += (text.isEmpty ? "" : " ") + next
                rest.removeFirst()
            }
            details[number == 1 ? name : "\(name)\(number)"] = text
        }
        if !rest.isEmpty { details["\(name)LeftOut"] = "\(rest.count)" }
        return details
    }

    /// In bytes: what is longer is cut, so that no caller can fill the log with one request.
    public static let longestDetail = 300
    public static let mostDetails = 24
}

extension Function {
    public var auditScope: AuditEvent.Scope { .function(id, name, in: namespaceId) }
}

extension ServiceAccount {
    public var auditScope: AuditEvent.Scope { .namespace(namespaceId, namespace) }
}

extension Namespace {
    public var auditScope: AuditEvent.Scope { .namespace(id, name) }
}
