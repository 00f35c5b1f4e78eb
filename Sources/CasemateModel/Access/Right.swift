/// What may be done with a kind of resource. None implies another but through a role.
public enum Right: String, Sendable, CaseIterable, Codable {
    /// Name, address, limits, revisions. Neither source nor logs nor secrets.
    case functionRead = "function:read"
    case functionDeploy = "function:deploy"
    case functionInvoke = "function:invoke"
    /// To let anyone call a function without a credential.
    case functionPublish = "function:publish"
    case functionDelete = "function:delete"
    case sourceRead = "source:read"
    case logsRead = "logs:read"
    case metricsRead = "metrics:read"
    /// To set and delete values; none can be read.
    case secretWrite = "secret:write"
    case tokenWrite = "token:write"
    /// To have functions called at certain times, by themselves.
    case scheduleWrite = "schedule:write"
    case policyWrite = "policy:write"
    /// To let something through that the gate or redaction would stop.
    case gateWaive = "gate:waive"
    /// To approve what somebody else has deployed, and to say whose signature counts.
    case deployApprove = "deploy:approve"
    /// To read the record of who did what.
    case auditRead = "audit:read"
    /// To have events sent somewhere.
    case eventSubscribe = "event:subscribe"
    /// To list addresses where others list names.
    case egressAddress = "egress:ip"
    case namespaceAdmin = "namespace:admin"
    case platformAdmin = "platform:admin"
}

/// Several rights, as bits: a call's are compared without a table.
public struct Rights: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public init(_ right: Right) { self.init(rawValue: 1 << UInt32(Right.allCases.firstIndex(of: right)!)) }

    public init(_ rights: some Sequence<Right>) { self = rights.reduce(into: []) { $0.formUnion(Rights($1)) } }

    public static let all = Rights(Right.allCases)

    /// Those that concern the server as a whole, so that none is held through a role on a part of it.
    public static let ofPlatform = Rights([.metricsRead, .platformAdmin])

    public func contains(_ right: Right) -> Bool { contains(Rights(right)) }

    /// In the order in which they are declared.
    public var list: [Right] { Right.allCases.filter { contains($0) } }
}
