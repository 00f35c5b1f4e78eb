import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes

/// Which tokens of identity providers stand for a service account: those of a pipeline, by what they say of it.
extension APIServices {
    private static var path: String { "/v1/namespaces/{namespace}/service-accounts/{account}/federations" }
    private static var most: Int { 50 }

    var federationRoutes: [APIRoute] {
        [
            APIRoute(.get, Self.path, needs: .right(.namespaceAdmin)) { request in
                try request.allowQuery([])
                let account = try await account(request)
                let (federations, issuers) = try await records.read { (try $0.federations(of: account.id), try $0.issuers()) }
                let names = Dictionary(uniqueKeysWithValues: issuers.map { ($0.id, $0.name) })
                return .json(FederationList(federations: federations.map { FederationView($0, issuer: names[$0.issuer]) }))
            },
            APIRoute(.post, Self.path, needs: .right(.namespaceAdmin)) { request in
                let body = try Self.newFederation(try await request.body(limit: 65_536))
                let account = try await account(request)
                let view = try await changeAccess { transaction in
                    try Self.mayActAs(account, request, transaction)
                    guard let issuer = try transaction.issuer(body.issuer) else {
                        throw Problem(.notFound, "there is no issuer \(body.issuer)")
                    }
                    guard try transaction.federations(of: account.id).count < Self.most else {
                        throw Problem(.conflict, "\(account.label) has \(Self.most) rules already; remove what is not needed")
                    }
                    let federation = Federation(
                        id: FederationId(), account: account.id, issuer: issuer.id, claims: body.claims, created: .now,
                        createdBy: request.principal.subject)
                    try transaction.insert(federation)
                    transaction.record(
                        .federationCreated, account.auditScope,
                        ["account": account.subject, "issuer": issuer.name.text, "rule": federation.id.text])
                    return FederationView(federation, issuer: issuer.name)
                }
                return .json(view, status: .created)
            },
            APIRoute(.delete, Self.path + "/{federation}", needs: .right(.namespaceAdmin)) { request in
                let account = try await account(request)
                guard let id = FederationId(request.parameter("federation")) else {
                    throw Problem(.invalidRequest, "a rule's id is a UUID")
                }
                try await changeAccess { transaction in
                    guard try transaction.deleteFederation(id, of: account.id) else {
                        throw Problem(.notFound, "\(account.label) has no such rule")
                    }
                    transaction.record(.federationDeleted, account.auditScope, ["account": account.subject, "rule": id.text])
                }
                return .noContent
            },
        ]
    }

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func newFederation(_ bytes: [UInt8]) throws -> NewFederation {
        let body: NewFederation = try StrictJSON.decode(bytes)
        guard Federation.areFit(body.claims) else { throw Problem(.invalidRequest, Federation.rule) }
        return body
    }
}

struct NewFederation: StrictDecodable {
    static let fields: Set<String> = ["issuer", "claims"]
    var issuer: IssuerLabel
    var claims: [String: String]
}

struct FederationList: Encodable, Sendable { var federations: [FederationView] }

struct FederationView: Encodable, Sendable {
    var id: String
    var issuer: String
    var claims: [String: String]
    var created: String
    var createdBy: String

    init(_ federation: Federation, issuer: IssuerLabel?) {
        id = federation.id.text
        self.issuer = issuer?.text ?? "?"
        claims = federation.claims
        created = federation.created.rfc3339
        createdBy = federation.createdBy
    }
}
