import CasemateModel

/// For whom a function acts in a call that runs when the one that made it has long ended: who began, and what each of the calls in between
/// let pass.
public final class DetachedCaller: Sendable, Equatable {
    /// No session.
    public let root: Principal
    /// What the functions declare through which it came, the first one's first.
    public let limits: [[Capability]]

    public init(root: Principal, limits: [[Capability]]) {
        self.root = root
        self.limits = limits
    }

    public static func == (left: DetachedCaller, right: DetachedCaller) -> Bool {
        left.root == right.root && left.limits == right.limits
    }
}

/// Runs one function at its times, and may do nothing else.
public struct SchedulePrincipal: Sendable, Equatable {
    public let id: ScheduleId
    public let function: FunctionId

    public init(id: ScheduleId, function: FunctionId) {
        self.id = id
        self.function = function
    }
}
