import CasemateIdentity
import CasemateModel

extension TokenRules {
    /// Of a token that is for the function otherwise.
    /// - Throws: `.forbidden`; `.insufficientScope` naming the first scope that it lacks.
    func check(_ token: VerifiedToken, _ name: FunctionName) throws(Problem) {
        guard issuers?.contains(token.issuer.name) ?? true else {
            throw Problem(.forbidden, "\(name) takes no tokens of \(token.issuer.name)")
        }
        guard algorithms?.contains(token.algorithm) ?? true else {
            throw Problem(.forbidden, "\(name) takes no tokens that are signed with \(token.algorithm)")
        }
        if let missing = (scopes ?? []).first(where: { !token.scopes.contains($0) }) { throw Authorize.lacks(missing, name) }
    }
}
