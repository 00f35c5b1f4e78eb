import CasemateIdentity
import CasemateModel
import CasemateStore
import Foundation
import HTTPTypes
import Logging
import Testing

@testable import CasemateServer

@Suite("Who may do what")
struct APIRightsTests {
    private static let golden = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden/rights.txt")

    /// What the tests of the matrix are about: a function of one tenant, and another tenant.
    private struct Tenants {
        let plant = Namespace(id: NamespaceId(), name: NamespaceName("plant")!, created: Timestamp(milliseconds: 1))
        let other = Namespace(id: NamespaceId(), name: NamespaceName("other")!, created: Timestamp(milliseconds: 1))

        var score: Function {
            Function(
                id: FunctionId(), namespaceId: plant.id, name: FunctionName("plant/score")!, activeRevision: nil,
                wrappedDataKey: WrappedKey(keyId: "file:1", bytes: []),
                created: Timestamp(milliseconds: 1), updated: Timestamp(milliseconds: 1))
        }

        /// Who asks. Each but the first three holds one permission on plant; the tenant next door is its admin.
        var callers: [(name: String, principal: Principal)] {
            func holder(_ permission: Permission, on resource: Resource) -> Principal {
                let account = ServiceAccount(
                    id: AccountId(), namespaceId: plant.id, namespace: plant.name, label: AccountLabel("who")!, secretHash: [],
                    secretPrefix: "", created: Timestamp(milliseconds: 1), createdBy: "")
                let grant = Grant(
                    id: GrantId(), subject: .serviceAccount(account.id), permission: permission, resource: resource,
                    created: Timestamp(milliseconds: 1), createdBy: "")
                return .serviceAccount(AccountPrincipal(account, rights: GrantedRights([grant])))
            }
            let here = Resource.namespace(plant.id)
            let singles: [(String, Right)] = [
                ("logs-reader", .logsRead), ("source-reader", .sourceRead), ("secret-writer", .secretWrite),
            ]
            return [
                ("anonymous", .anonymous), ("token", .functionToken(TokenId(), namespace: plant.id, function: nil)),
                ("other-tenant", holder(.role(.admin), on: .namespace(other.id))),
            ] + singles.map { ($0.0, holder(.right($0.1), on: here)) }
                + Role.allCases.map { ($0 == .admin ? "ns-admin" : $0.rawValue, holder(.role($0), on: here)) }
                + [("platform-admin", holder(.role(.admin), on: .platform)), ("bootstrap-key", .administrator(KeyId()))]
        }
    }

    private func matrix(_ services: APIServices) async throws -> String {
        let tenants = Tenants()
        try await services.records.write { transaction in
            try transaction.insert(tenants.plant)
            try transaction.insert(tenants.other)
            try transaction.insert(tenants.score)
        }
        let router = APIRouter(
            routes: services.routes, authentication: services.authentication, sessions: services.sessions, records: services.records,
            audit: services.audit,
            trustedProxies: [],
            isTLS: false, logger: Logger(label: "test"))
        let callers = tenants.callers
        var rows: [[String]] = []
        for route in services.routes {
            var row = [route.method.rawValue, route.path, "\(route.need)".replacingOccurrences(of: " ", with: "-")]
            for caller in callers {
                do {
                    _ = try await router.authorization(
                        of: caller.principal, to: route,
                        ["namespace": "plant", "function": "score"].filter {
                            route.path.contains("{\($0.key)}")
                        })
                    row.append("yes")
                } catch let problem as Problem {
                    row.append("\(problem.code.status)")
                }
            }
            rows.append(row)
        }
        rows.sort { ($0[1], $0[0]) < ($1[1], $1[0]) }
        let table = [["method", "path", "needs"] + callers.map(\.name)] + rows
        let widths = table[0].indices.map { column in table.map { $0[column].count }.max() ?? 0 }
        return table.map { row in
            let line = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: "  ")
            return String(line.reversed().drop { $0 == " " }.reversed()) + "\n"
        }.joined()
    }

    @Test("who may do what is as the golden file says; CASEMATE_UPDATE_GOLDEN=1 writes it anew")
    func golden() async throws {
        try await withServices { services async throws in
            let now = try await matrix(services)
            if ProcessInfo.processInfo.environment["CASEMATE_UPDATE_GOLDEN"] == "1" {
                try FileManager.default.createDirectory(at: Self.golden.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data(now.utf8).write(to: Self.golden)
            }
            let wanted = try String(contentsOf: Self.golden, encoding: .utf8)
            let lines = Set(now.split(separator: "\n"))
            let before = Set(wanted.split(separator: "\n"))
            #expect(lines.subtracting(before).sorted() == [], "new or changed")
            #expect(before.subtracting(lines).sorted() == [], "gone")
            #expect(now == wanted)
        }
    }

    @Test("the tenant next door, admin there, is told of nothing here")
    func tenants() async throws {
        let tenants = Tenants()
        try await withServices { services async throws in
            try await services.records.write { transaction in
                try transaction.insert(tenants.plant)
                try transaction.insert(tenants.score)
            }
            let router = APIRouter(
                routes: services.routes, authentication: services.authentication, sessions: services.sessions, records: services.records,
                audit: services.audit,
                trustedProxies: [],
                isTLS: false, logger: Logger(label: "test"))
            let stranger = tenants.callers.first { $0.name == "other-tenant" }!.principal
            for route in services.routes where route.path.contains("{namespace}") {
                var words: Set<String> = []
                for (namespace, function) in [("plant", "score"), ("plant", "none"), ("none", "score")] {
                    do {
                        _ = try await router.authorization(of: stranger, to: route, ["namespace": namespace, "function": function])
                        Issue.record("\(route.method) \(route.path)")
                    } catch let problem as Problem {
                        #expect(problem.code == .notFound)
                        words.insert(problem.detail.replacingOccurrences(of: namespace, with: "NAMESPACE"))
                    }
                }
                #expect(words.count == 1, "\(route.path) tells what exists: \(words)")
            }
        }
    }

    @Test("six operations are anyone's, two look at a credential of another kind, and no other")
    func anyone() async throws {
        try await withRoutes { routes throws in
            #expect(
                Set(routes.filter { $0.need == .anyone }.map { "\($0.method.rawValue) \($0.path)" }) == [
                    "GET /healthz", "GET /readyz", "GET /.well-known/security.txt", "GET /.well-known/openid-configuration",
                    "GET /.well-known/jwks.json", "GET /v1/sign-in",
                ])
            #expect(routes.filter { $0.need == .client }.map(\.path) == ["/oauth/token", "/v1/sign-in"])
        }
    }

    @Test("no operation is listed twice")
    func unique() async throws {
        try await withRoutes { routes throws in
            #expect(routes.count > 15)
            #expect(Set(routes.map { "\($0.method.rawValue) \($0.path)" }).count == routes.count)
        }
    }

    @Test("what changes something needs more than a right to read")
    func writes() async throws {
        let reading: [Right] = [.functionRead, .logsRead, .sourceRead, .metricsRead]
        try await withRoutes { routes throws in
            for route in routes where route.method != .get && route.path != "/oauth/token" {
                // One's own sessions.
                let isOwn = route.path.hasPrefix("/v1/sessions")
                #expect(route.need != .anyone && (isOwn || route.need != .credential), "\(route.method) \(route.path)")
                for right in reading { #expect(![.right(right), .within(right)].contains(route.need), "\(route.method) \(route.path)") }
            }
        }
    }

    @Test("nobody grants what they do not have, nor a right of the server's on a part of it")
    func grantable() throws {
        let tenants = Tenants()
        let admin = try #require(tenants.callers.first { $0.name == "ns-admin" }).principal
        func grant(_ permission: Permission, on resource: Resource) -> Grant {
            Grant(
                id: GrantId(), subject: .serviceAccount(AccountId()), permission: permission, resource: resource,
                created: Timestamp(milliseconds: 1), createdBy: "")
        }
        let here = Resource.namespace(tenants.plant.id)
        for role in Role.allCases { _ = try APIServices.grantable(grant(.role(role), on: here), by: admin) }
        for (permission, resource) in [
            (Permission.right(.egressAddress), here), (.role(.viewer), .platform), (.role(.viewer), .namespace(tenants.other.id)),
            (.role(.admin), .platform),
        ] {
            #expect(throws: Problem(.forbidden, "")) { try APIServices.grantable(grant(permission, on: resource), by: admin) }
        }
        let all = Principal.administrator(KeyId())
        _ = try APIServices.grantable(grant(.right(.egressAddress), on: here), by: all)
        for right in [Right.platformAdmin, .metricsRead] {
            _ = try APIServices.grantable(grant(.right(right), on: .platform), by: all)
            #expect(throws: Problem(.invalidRequest, "")) { try APIServices.grantable(grant(.right(right), on: here), by: all) }
        }
    }
}
