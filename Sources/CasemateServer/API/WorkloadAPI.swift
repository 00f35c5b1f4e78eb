import CasemateIdentity
import CasemateInvoke
import CasemateModel
import HTTPTypes
import HummingbirdCore

/// What a function gets as itself, whoever called it.
extension APIServices {
    var workloadRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/identity/token", needs: .anyone) { request in
                try request.allowQuery(["audience"])
                guard let link = request.link else { throw Problem(.notFound, "there is no such operation") }
                return .json(try workloadToken(for: link, request))
            }
        ]
    }

    /// Who can make a function fetch a URL, but not set a field, gets nothing here; neither does who comes through a proxy.
    private static var guardField: HTTPField.Name { HTTPField.Name("Casemate-Metadata")! }

    private func workloadToken(for link: PlatformLink, _ request: APIRequest) throws(Problem) -> WorkloadTokenView {
        guard request.request.headers[Self.guardField] == "true", request.request.headers[.forwardedFor] == nil else {
            throw Problem(.invalidRequest, "send Casemate-Metadata: true, and no X-Forwarded-For")
        }
        guard let audience = request.query["audience"] else {
            throw Problem(.invalidRequest, "say whom the token is for: ?audience=…, one that the manifest lists under identity")
        }
        // One that is deleted may still run, and another may have its name by now; or a newer revision lists less.
        guard let function = catalog.catalog.function(link.function), function.name == link.name,
            let seal = link.seals.first(where: { $0.key.utf8.elementsEqual(audience.utf8) })?.value,
            function.spec?.audiences?.contains(audience) ?? false
        else {
            throw Problem(.forbidden, "\(link.name) may not prove who it is there: its manifest does not list that audience under identity")
        }
        guard let (text, expires) = try? ownIssuer().workloadToken(for: link.name, link.function, audience: audience, seal: seal)
        else { throw Problem(.internalError, "the token could not be signed") }
        return WorkloadTokenView(token: text, expires: expires.rfc3339)
    }
}

struct WorkloadTokenView: Encodable, Sendable {
    var token: String
    var expires: String
}
