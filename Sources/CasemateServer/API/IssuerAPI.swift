import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes
import NIOSSL

/// The identity providers whose tokens are taken.
extension APIServices {
    var issuerRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/issuers", needs: .right(.platformAdmin)) { request in
                try request.allowQuery([])
                return .json(IssuerList(issuers: try await records.read { try $0.issuers() }.map(IssuerView.init)))
            },
            APIRoute(.post, "/v1/issuers", needs: .right(.platformAdmin)) { request in
                let issuer = try Self.newIssuer(try await request.body(limit: 1 << 20), by: request.principal.subject)
                // Its own tokens are told by their URL.
                guard issuer.url != urls.api else { throw Problem(.invalidRequest, "this server trusts its own tokens already") }
                try await changeAccess { transaction in
                    try request.require(.platformAdmin, on: .platform, for: "this")
                    try transaction.insert(issuer)
                    transaction.record(.issuerCreated, .platform, ["issuer": issuer.name.text, "url": issuer.url])
                }
                return .json(IssuerView(issuer), status: .created)
            },
            APIRoute(.delete, "/v1/issuers/{issuer}", needs: .right(.platformAdmin)) { request in
                guard let name = IssuerLabel(request.parameter("issuer")) else { throw Problem(.invalidName, IssuerLabel.rule) }
                // Its tokens are refused from the answer on; the grants of its people go with it.
                try await changeAccess { transaction in
                    guard let issuer = try transaction.issuer(name) else { throw Problem(.notFound, "there is no issuer \(name)") }
                    try transaction.delete(issuer)
                    transaction.record(.issuerDeleted, .platform, ["issuer": issuer.name.text, "url": issuer.url])
                }
                return .noContent
            },
        ]
    }

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser (a crash while it splits the coroutine).
    @inline(never)
    private static func newIssuer(_ bytes: [UInt8], by subject: String) throws -> Issuer {
        let body: NewIssuer = try StrictJSON.decode(bytes)
        return try body.issuer(by: subject)
    }

}

struct NewIssuer: StrictDecodable {
    static let fields: Set<String> = [
        "name", "url", "audiences", "usernameClaim", "groupsClaim", "algorithms", "authority", "clientId", "scope", "allowsDevice",
        "forPipelines",
    ]
    var name: IssuerLabel
    var url: String
    var audiences: [String]
    var usernameClaim: String?
    var groupsClaim: String?
    var algorithms: [String]?
    var authority: String?
    var clientId: String?
    var scope: String?
    var allowsDevice: Bool?
    var forPipelines: Bool?

    func issuer(by subject: String) throws(Problem) -> Issuer {
        guard Issuer.isURL(url) else {
            throw Problem(.invalidRequest, "url must be https://…, exactly as the provider's tokens have it in iss")
        }
        guard (1...16).contains(audiences.count), audiences.allSatisfy({ (1...255).contains($0.utf8.count) }) else {
            throw Problem(.invalidRequest, "audiences: 1 to 16, each of up to 255 bytes: what tokens for this server have in aud")
        }
        for claim in [usernameClaim, groupsClaim].compactMap({ $0 }) where !(1...64).contains(claim.utf8.count) {
            throw Problem(.invalidRequest, "a claim's name has 1 to 64 bytes")
        }
        let algorithms = algorithms ?? Issuer.defaultAlgorithms
        guard !algorithms.isEmpty, algorithms.allSatisfy({ Issuer.allAlgorithms.contains($0) }) else {
            throw Problem(.invalidRequest, "algorithms: some of \(Issuer.allAlgorithms.joined(separator: ", "))")
        }
        if let clientId {
            guard (1...255).contains(clientId.utf8.count), clientId.utf8.allSatisfy({ (33...126).contains($0) }) else {
                throw Problem(.invalidRequest, "clientId has 1 to 255 visible characters of ASCII")
            }
            // Else each sign-in's ID token would be a credential of the API's by itself.
            guard !audiences.contains(clientId) else {
                throw Problem(.invalidRequest, "audiences must not have the clientId: what signs somebody in opens nothing else")
            }
        }
        if let scope {
            let words = scope.split(separator: " ")
            guard words.contains("openid"), scope.utf8.count <= 500, scope.utf8.allSatisfy({ (32...126).contains($0) }) else {
                throw Problem(.invalidRequest, "scope lists what to ask for at a sign-in, openid among it, in up to 500 characters")
            }
        }
        if let authority {
            guard authority.utf8.count <= 65_536, let found = try? NIOSSLCertificate.fromPEMBytes(Array(authority.utf8)), !found.isEmpty
            else {
                throw Problem(.invalidRequest, "authority must be certificates in PEM")
            }
        }
        guard forPipelines != true || clientId == nil else {
            throw Problem(.invalidRequest, "people sign in at an issuer, or it is for pipelines alone: leave clientId or forPipelines out")
        }
        var issuer = Issuer(
            id: IssuerId(), name: name, url: url, audiences: audiences, usernameClaim: usernameClaim ?? "sub",
            groupsClaim: groupsClaim ?? "groups", algorithms: algorithms, authority: authority, clientId: clientId,
            scope: scope ?? Issuer.defaultScope, created: .now, createdBy: subject)
        issuer.allowsDevice = allowsDevice ?? false
        issuer.isForPipelines = forPipelines ?? false
        return issuer
    }
}

struct IssuerList: Encodable, Sendable { var issuers: [IssuerView] }

struct IssuerView: Encodable, Sendable {
    var name: String
    var url: String
    var audiences: [String]
    var usernameClaim: String
    var groupsClaim: String
    var algorithms: [String]
    var hasAuthority: Bool
    var clientId: String?
    var scope: String
    var allowsDevice: Bool
    var forPipelines: Bool
    var created: String
    var createdBy: String

    init(_ issuer: Issuer) {
        name = issuer.name.text
        url = issuer.url
        audiences = issuer.audiences
        usernameClaim = issuer.usernameClaim
        groupsClaim = issuer.groupsClaim
        algorithms = issuer.algorithms
        clientId = issuer.clientId
        scope = issuer.scope
        allowsDevice = issuer.allowsDevice
        forPipelines = issuer.isForPipelines
        hasAuthority = issuer.authority != nil
        created = issuer.created.rfc3339
        createdBy = issuer.createdBy
    }
}
