import CasemateIdentity
import CasemateModel
import CasemateStore

extension APIRouter {
    /// Whether `principal` may use `route` on what its path names. Who has no right at all on a thing is not told that it exists.
    /// - Throws: `.unauthenticated` without a credential of the API's; `.notFound` for what the caller may not know of, alike for what
    ///   exists and what does not; `.forbidden` for what it may know of but not do.
    func authorization(of principal: Principal, to route: APIRoute, _ parameters: [String: String]) async throws -> Principal {
        if route.need == .anyone || route.need == .client { return principal }
        // A function token is no credential here, so that it tells its holder nothing about the API.
        guard principal.isForAPI else { throw Self.refusal }
        switch route.need {
        case .anyone, .client, .credential: break
        case .right(let right): try await check(principal.rights, right, onParts: false, parameters)
        case .within(let right): try await check(principal.rights, right, onParts: true, parameters)
        }
        return principal
    }

    private func check(_ rights: GrantedRights, _ right: Right, onParts: Bool, _ parameters: [String: String]) async throws {
        func holds(_ resource: Resource) -> Bool { (onParts ? rights.within(resource) : rights.on(resource)).contains(right) }
        // On the whole: that holds for every part, so that nothing needs to be looked up.
        if rights.has(right, on: .platform) { return }
        let refusal = Problem(.forbidden, "this takes the right \(right.rawValue)")
        guard let text = parameters["namespace"] else {
            guard holds(.platform) else { throw refusal }
            return
        }
        guard let name = NamespaceName(text) else { throw Problem(.invalidName, NamespaceName.rule) }
        let namespace = try await records.read { try $0.namespace(name) }
        guard let namespace, !rights.within(.namespace(namespace.id)).isEmpty else { throw Problem.unknown(name) }
        guard let text = parameters["function"] else {
            guard holds(.namespace(namespace.id)) else { throw refusal }
            return
        }
        guard let label = FunctionLabel(text) else { throw Problem(.invalidName, FunctionLabel.rule) }
        let functionName = FunctionName(namespace: name, function: label)
        let function = try await records.read { try $0.function(functionName) }
        let resource: Resource = function.map { .function($0.id, in: namespace.id) } ?? .namespace(namespace.id)
        if rights.has(right, on: resource) { return }
        // Of one that is not there, too: who has a right on all of the namespace learns nothing by being told which one is missing.
        guard !rights.on(resource).isEmpty else { throw Problem.unknown(functionName) }
        throw refusal
    }
}

extension Problem {
    /// The same words whether it is not there, or may not be known.
    static func unknown(_ name: NamespaceName) -> Problem { Problem(.notFound, "there is no namespace \(name)") }
    static func unknown(_ name: FunctionName) -> Problem { Problem(.notFound, "there is no function \(name)") }
}
