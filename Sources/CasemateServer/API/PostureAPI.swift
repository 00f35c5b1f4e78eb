import CasemateDeploy
import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes

/// How far what is live is from the defaults, and from what is known to be safe.
extension APIServices {
    var postureRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/posture", needs: .within(.functionRead)) { request in
                try request.allowQuery([])
                return .json(try await posture(of: nil, for: request.principal))
            },
            APIRoute(.get, "/v1/namespaces/{namespace}/posture", needs: .within(.functionRead)) { request in
                try request.allowQuery([])
                return .json(try await posture(of: try await namespace(try request.namespace()), for: request.principal))
            },
        ]
    }

    private func posture(of namespace: Namespace?, for principal: Principal) async throws -> PostureView {
        let rights = principal.rights
        return try await records.read { transaction in
            let database = try transaction.advisoryDatabase()
            let functions = try namespace.map { try transaction.functions(in: $0.id) } ?? transaction.functions()
            let seen = try functions.filter { rights.has(.functionRead, on: $0.resource) }.compactMap { function -> FunctionPosture? in
                guard let active = try function.activeRevision.flatMap({ try transaction.revision($0) }) else { return nil }
                let waivers = try transaction.waivers(in: function.namespaceId, of: function.name.function)
                return FunctionPosture(function, active, try Self.live(active, transaction, waivers))
            }
            return PostureView(functions: seen, advisories: AdvisoryStatus(database))
        }
    }
}

/// Red where something grave is live that nobody waived, amber where a default is relaxed or something is waived, green else.
enum PostureColour: String, Encodable, Sendable { case green, amber, red }

struct PostureView: Encodable, Sendable {
    var posture: PostureColour
    /// The worst first.
    var functions: [FunctionPosture]
    var advisories: AdvisoryStatus
    /// What concerns all of them.
    var warnings: [String]

    init(functions: [FunctionPosture], advisories: AdvisoryStatus) {
        self.advisories = advisories
        let order: [PostureColour] = [.red, .amber, .green]
        self.functions = order.flatMap { colour in functions.filter { $0.posture == colour } }
        warnings =
            advisories.records == 0
            ? ["there are no advisories: packages are not held against any; casemate advisories import FILE"]
            : advisories.isFresh ? [] : ["the newest advisory is older than a week; casemate advisories import FILE"]
        posture =
            self.functions.first?.posture == .red ? .red : self.functions.first?.posture == .amber || !warnings.isEmpty ? .amber : .green
    }
}

struct FunctionPosture: Encodable, Sendable {
    var function: String
    var revision: Int
    var posture: PostureColour
    /// Why no call of it runs.
    var disabled: String?
    var findings: [Diagnostic]

    init(_ function: Function, _ active: Revision, _ findings: [Diagnostic]) {
        self.function = function.name.description
        revision = active.number
        disabled = function.disabled
        self.findings = findings
        let isRed = findings.contains { $0.severity == .error }
        let isAmber = findings.contains { ($0.finding?.level ?? .low) > .low || $0.finding?.waiver != nil }
        posture = isRed ? .red : isAmber ? .amber : .green
    }
}
