/// What may be done with a kind of resource. None implies another but through a role.
public enum Right: String, Sendable, CaseIterable {
    /// Anyone may, without a credential.
    case anyone = "anyone"
    case functionRead = "function:read"
    case functionDeploy = "function:deploy"
    case functionInvoke = "function:invoke"
    case functionPublish = "function:publish"
    case functionDelete = "function:delete"
    case sourceRead = "source:read"
    case logsRead = "logs:read"
    case metricsRead = "metrics:read"
    case secretWrite = "secret:write"
    case tokenWrite = "token:write"
    case policyWrite = "policy:write"
    /// To list addresses where others list names.
    case egressAddress = "egress:ip"
    case namespaceAdmin = "namespace:admin"
    case platformAdmin = "platform:admin"
}

extension Principal {
    /// Whether this principal has `right`. Until roles come, the administrator has all and nobody else any.
    public func has(_ right: Right) -> Bool {
        if right == .anyone { return true }
        if case .administrator = self { return true }
        return false
    }
}
