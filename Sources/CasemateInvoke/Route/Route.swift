import CasemateModel
import CasemateWire

/// A call with the revision that will run it. Made only by `Route`.
package struct RoutedCall {
    package let authorized: AuthorizedCall
    package let revision: Revision
    package let spec: FunctionSpec
    package let bundle: BundleDigest

    fileprivate init(authorized: AuthorizedCall, revision: Revision, spec: FunctionSpec, bundle: BundleDigest) {
        self.authorized = authorized
        self.revision = revision
        self.spec = spec
        self.bundle = bundle
    }

    package var call: IncomingCall { authorized.call }
    package var function: Deployed { authorized.function }
}

/// Which revision runs the call: the active one.
package struct Route {
    /// - Throws: `.notFound` for a function that was never deployed (its secrets may exist already).
    package func callAsFunction(_ authorized: AuthorizedCall) throws(Problem) -> RoutedCall {
        guard let revision = authorized.function.revision, let spec = authorized.function.spec,
            let bundle = BundleDigest(hex: revision.bundleDigest)
        else { throw Problem(.notFound, "the function has not been deployed yet") }
        return RoutedCall(authorized: authorized, revision: revision, spec: spec, bundle: bundle)
    }
}
