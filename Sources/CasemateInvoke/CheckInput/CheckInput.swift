import CasemateIdentity
import CasemateModel
import NIOCore

/// A call that brings what its function takes. Made only by `CheckInput`.
package struct CheckedCall {
    package let routed: RoutedCall
    package let body: RequestBody

    fileprivate init(routed: RoutedCall, body: RequestBody) {
        self.routed = routed
        self.body = body
    }
}

/// Holds a call's input against the schemas of the revision that will run it, before anything starts. Lives on the gateway's loop; what
/// takes long leaves it meanwhile.
package final class CheckInput {
    private let loop: any EventLoop
    private var compiled: [RevisionId: InputRules] = [:]

    /// More are compiled anew.
    private static let mostKept = 1_000

    package init(loop: any EventLoop) { self.loop = loop }

    /// - Returns: nil where looking takes longer than the loop may be kept.
    /// - Throws: `.invalidInput`, `.unsupportedMediaType`.
    package func callAsFunction(_ routed: RoutedCall, body: RequestBody, as routing: Routing) throws(Problem) -> CheckedCall? {
        guard routing.spec.inputSchema != nil else { return CheckedCall(routed: routed, body: body) }
        guard let refusal = try rules(of: routing).refusal(of: try CallInput(routed.call, body), within: .atOnce) else {
            return CheckedCall(routed: routed, body: body)
        }
        switch refusal {
        case .problem(let problem): throw problem
        case .tooLong: return nil
        }
    }

    /// For what took too long: `done` hears once, on the loop.
    package func later(
        _ routed: RoutedCall, body: RequestBody, as routing: Routing, _ done: @escaping (Result<CheckedCall, Problem>) -> Void
    ) {
        let input: CallInput
        let rules: InputRules
        do throws(Problem) {
            rules = try self.rules(of: routing)
            input = try CallInput(routed.call, body)
        } catch { return done(.failure(error)) }
        let promise = loop.makePromise(of: InputRules.Refusal?.self)
        promise.completeWithTask { rules.refusal(of: input, within: .whatItTakes) }
        promise.futureResult.assumeIsolated().whenSuccess { refusal in
            switch refusal {
            case nil: done(.success(CheckedCall(routed: routed, body: body)))
            case .problem(let problem): done(.failure(problem))
            case .tooLong: done(.failure(Problem(.invalidInput, "the input is too costly to check", reason: "body", pointer: "")))
            }
        }
    }

    private func rules(of routing: Routing) throws(Problem) -> InputRules {
        if let known = compiled[routing.revision.id] { return known }
        guard let schemas = routing.spec.inputSchema, let rules = InputRules(schemas) else {
            throw Problem(.unavailable, "the function's input schema can't be read; deploy it again")
        }
        if compiled.count >= Self.mostKept { compiled.removeAll() }
        compiled[routing.revision.id] = rules
        return rules
    }
}
