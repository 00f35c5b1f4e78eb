import CasemateIdentity
import CasemateModel

/// A call whose body the function can take. Made only by `Admit`.
package struct AdmittedCall {
    package let routed: RoutedCall
    package let body: RequestBody

    fileprivate init(routed: RoutedCall, body: RequestBody) {
        self.routed = routed
        self.body = body
    }

    package var call: IncomingCall { routed.call }
}

/// What must hold before a sandbox is asked for.
package struct Admit {
    /// In bytes.
    let maximumRequestBody: Int

    /// - Throws: `.secretMissing` naming the secret and the command, `.tooLarge`.
    package func callAsFunction(_ checked: CheckedCall) throws(Problem) -> AdmittedCall {
        let (routed, body) = (checked.routed, checked.body)
        guard body.length <= maximumRequestBody else {
            throw Problem(.tooLarge, "a request's body is at most \(maximumRequestBody) bytes")
        }
        for name in routed.spec.secrets
        where !routed.function.secrets.contains(where: { $0.name == name })
            && !routed.function.references.contains(where: { $0.name == name })
        {
            // What its secrets are called is nothing for everybody.
            if case .anonymous = routed.authorized.principal { throw Problem(.secretMissing, "a secret of the function has no value yet") }
            throw Problem(
                .secretMissing, "the function's secret \(name) has no value; set it: casemate secret set \(routed.function.name) \(name)")
        }
        return AdmittedCall(routed: routed, body: body)
    }
}
