import CasemateModel
import CasemateWire
import NIOCore

/// A call with the revision that will run it. Made only by `Route`.
package struct RoutedCall {
    package let authorized: AuthorizedCall
    package let routing: Routing
    /// When it was known that it may run.
    let at: NIODeadline

    fileprivate init(authorized: AuthorizedCall, routing: Routing) {
        self.authorized = authorized
        self.routing = routing
        at = .now()
    }

    package var call: IncomingCall { authorized.call }
    package var function: Deployed { routing.function }
    package var revision: Revision { routing.revision }
    package var spec: FunctionSpec { routing.spec }
    package var bundle: BundleDigest { routing.bundle }

    /// Whether its body may be handed on before all of it is here. Where calls share an instance, one that never comes to its end must not
    /// take the others with it.
    var mayStream: Bool { spec.limits.concurrency == nil && spec.inputSchema?.body == nil && call.asynchronous == nil }
}

/// A function that has something to run.
package struct Routing {
    package let function: Deployed

    /// Nil for a function that was never deployed.
    package init?(_ function: Deployed) {
        guard function.revision != nil, function.spec != nil, function.bundle != nil else { return nil }
        self.function = function
    }

    // Checked at construction.
    package var revision: Revision { function.revision! }
    package var spec: FunctionSpec { function.spec! }
    package var bundle: BundleDigest { function.bundle! }
}

/// Which revision runs the call: the active one, as often as it may be called.
package struct Route {
    let limiter = RateLimiter()

    package init() {}

    /// - Throws: `.untrustedVersion`; `.functionDisabled`; `.notFound` for a function that was never deployed (its secrets may exist already); `.rateLimited`.
    package func callAsFunction(_ authorized: AuthorizedCall) throws(Problem) -> RoutedCall {
        guard let routing = Routing(authorized.function) else { throw Problem(.notFound, "the function has not been deployed yet") }
        try Self.mayRun(routing)
        if var rate = routing.function.rate {
            // Its caller's share was taken when it was accepted.
            if case .accepted = authorized.call.credential { rate.caller = nil }
            try limiter.take(
                rate, routing.function.id, authorized.principal, authorized.call.source, at: authorized.call.received.uptimeNanoseconds)
        }
        return RoutedCall(authorized: authorized, routing: routing)
    }

    /// - Throws: `.untrustedVersion`; `.functionDisabled`.
    static func mayRun(_ routing: Routing) throws(Problem) {
        if let why = routing.function.untrusted {
            throw Problem(.untrustedVersion, "no call may run revision \(routing.revision.number) of \(routing.function.name): \(why)")
        }
        if let why = routing.function.disabled { throw Problem(.functionDisabled, "no call of this function runs: \(why)") }
    }
}
