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
}

/// A function and what of it runs.
package struct Routing {
    package let function: Deployed
    package let revision: Revision
    package let spec: FunctionSpec
    package let bundle: BundleDigest

    /// Nil for a function that was never deployed.
    package init?(_ function: Deployed) {
        guard let revision = function.revision, let spec = function.spec, let bundle = BundleDigest(hex: revision.bundleDigest) else {
            return nil
        }
        self.function = function
        self.revision = revision
        self.spec = spec
        self.bundle = bundle
    }
}

/// Which revision runs the call: the active one.
package struct Route {
    /// - Throws: `.notFound` for a function that was never deployed (its secrets may exist already).
    package func callAsFunction(_ authorized: AuthorizedCall) throws(Problem) -> RoutedCall {
        guard let routing = Routing(authorized.function) else { throw Problem(.notFound, "the function has not been deployed yet") }
        return RoutedCall(authorized: authorized, routing: routing)
    }
}
