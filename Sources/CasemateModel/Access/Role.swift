/// A named set of rights, for what people and machines usually do.
public enum Role: String, Sendable, CaseIterable, Codable {
    /// Sees which functions there are.
    case viewer
    /// Writes functions: deploys, calls, sets secrets, reads their logs.
    case developer
    /// A pipeline: deploys, and sees what came of it.
    case deployer
    /// Reads what is to run before it does, and approves it.
    case approver
    /// Keeps functions running: logs, tokens, secrets, calls. Deploys nothing.
    case `operator`
    /// Everything in its part of the server; on the whole server, everything.
    case admin

    /// What it gives on `resource`.
    public func rights(on resource: Resource) -> Rights {
        switch self {
        case .viewer: [Rights(.functionRead)]
        case .developer: Rights([.functionRead, .functionDeploy, .functionInvoke, .logsRead, .secretWrite, .scheduleWrite])
        case .deployer: Rights([.functionRead, .functionDeploy])
        case .approver: Rights([.functionRead, .sourceRead, .deployApprove])
        case .operator: Rights([.functionRead, .functionInvoke, .logsRead, .secretWrite, .tokenWrite, .scheduleWrite])
        case .admin:
            // An address passes by every check of names: whoever keeps the machine's network gives that right by itself.
            resource == .platform ? .all : Rights.all.subtracting(.ofPlatform).subtracting(Rights(.egressAddress))
        }
    }
}

/// What a grant gives: a role, or one right.
public enum Permission: Hashable, Sendable, CustomStringConvertible {
    case role(Role)
    case right(Right)

    /// `developer`, `logs:read`.
    public init?(_ text: some StringProtocol) {
        if let role = Role(rawValue: String(text)) {
            self = .role(role)
        } else if let right = Right(rawValue: String(text)) {
            self = .right(right)
        } else {
            return nil
        }
    }

    public static var rule: String {
        "give a role (\(Role.allCases.map(\.rawValue).joined(separator: ", "))) or a right "
            + "(\(Right.allCases.map(\.rawValue).joined(separator: ", ")))"
    }

    public func rights(on resource: Resource) -> Rights {
        switch self {
        case .role(let role): role.rights(on: resource)
        case .right(let right): Rights(right)
        }
    }

    public var description: String {
        switch self {
        case .role(let role): role.rawValue
        case .right(let right): right.rawValue
        }
    }
}
