/// How often a function may be called. Nil for as often as it can serve.
public struct RateLimits: Hashable, Sendable, Codable {
    /// By all callers together.
    public var function: Rate?
    /// By each credential; those without one are one caller.
    public var caller: Rate?
    /// From each source address.
    public var address: Rate?

    public init(function: Rate? = nil, caller: Rate? = nil, address: Rate? = nil) {
        self.function = function
        self.caller = caller
        self.address = address
    }

    public var isEmpty: Bool { function == nil && caller == nil && address == nil }

    /// The lower of each.
    public func capped(by other: RateLimits) -> RateLimits {
        func lower(_ left: Rate?, _ right: Rate?) -> Rate? { [left, right].compactMap { $0 }.min { $0.perSecond < $1.perSecond } }
        return RateLimits(
            function: lower(function, other.function), caller: lower(caller, other.caller), address: lower(address, other.address))
    }
}
