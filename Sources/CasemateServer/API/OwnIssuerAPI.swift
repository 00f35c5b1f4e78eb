import CasemateIdentity
import CasemateModel
import HTTPTypes

/// What others need to verify the tokens that this server signs.
extension APIServices {
    var ownIssuerRoutes: [APIRoute] {
        [
            APIRoute(.get, "/.well-known/openid-configuration", needs: .anyone) { _ in .json(try ownIssuer().metadata) },
            APIRoute(.get, "/.well-known/jwks.json", needs: .anyone) { _ in .json(try ownIssuer().keySet) },
        ]
    }

    func ownIssuer() throws(Problem) -> OwnIssuer {
        guard let own = issuers.own else { throw Problem(.unavailable, "the server is still starting", retryAfterSeconds: 1) }
        return own
    }
}
