import CasemateIdentity
import CasemateModel
import CasemateStore

/// RFC 8693: a credential that may do much, for a token that calls one function for ten minutes. Whoever steals that has little.
extension APIServices {
    private static var accessToken: String { "urn:ietf:params:oauth:token-type:access_token" }
    private static var subjectTokenTypes: Set<String> {
        [accessToken, "urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"]
    }
    private static var issuedTokenTypes: Set<String> { [accessToken, "urn:ietf:params:oauth:token-type:jwt"] }

    func exchanged(_ form: TokenRequest, from source: CallerSource?) async throws -> AccessTokenView {
        guard let subjectToken = form.subjectToken else { throw OAuthError(.invalidRequest, "subject_token is missing") }
        guard let type = form.subjectTokenType, Self.subjectTokenTypes.contains(type) else {
            throw OAuthError(.invalidRequest, "subject_token_type must be \(Self.accessToken), or …:jwt, or …:id_token")
        }
        guard form.requestedTokenType.map(Self.issuedTokenTypes.contains) ?? true else {
            throw OAuthError(.invalidRequest, "requested_token_type must be \(Self.accessToken)")
        }
        guard form.actorToken == nil else { throw OAuthError(.invalidRequest, "actor_token is not available") }
        let name = try target(of: form)
        // A client that says who it is must be it; a token needs none to be exchanged.
        if let shown = form.client { _ = try await client(shown, from: source) }
        await authentication.prepare(subjectToken, from: source)
        guard let (holder, latest) = try holder(of: subjectToken, from: source) else {
            throw OAuthError(.invalidRequest, "the subject token is not valid here")
        }
        // Alike where there is no such function: who may not call it is not told whether it is there.
        guard let function = try await records.read({ try $0.function(name) }), mayCall(function, holder) else {
            throw OAuthError(.invalidTarget, "the subject token may not call \(name)")
        }
        let (text, seconds) = try ownIssuer().accessToken(for: holder, function: name, audience: urls.call(name), until: latest)
        // Whose issuer calls them by very long names.
        guard seconds > 0, case .valid = issuers.verify(text) else {
            throw OAuthError(.invalidRequest, "the subject token is about to end, or says too much to be put into another")
        }
        try await audited(AuditEvent(.tokenExchanged, function.auditScope, actor: holder.subject, ["seconds": "\(seconds)"]))
        return AccessTokenView(accessToken: text, expiresIn: seconds, issuedTokenType: Self.accessToken, scope: "fn:\(name)")
    }

    /// Whoever shows it, and when it ends where nothing else will tell.
    private func holder(of subjectToken: String, from source: CallerSource?) throws(Problem) -> (Principal, Timestamp?)? {
        guard IssuerRegistry.isLikely(subjectToken) else {
            return try authentication.principal(showing: subjectToken, from: source).map { ($0, nil) }
        }
        guard let token = try authentication.token(subjectToken, from: source), !token.issuer.isForPipelines else { return nil }
        // Less what clocks may differ by: the new token has that for itself.
        return (credentials.person(token), token.expires.advanced(byMilliseconds: -60_000))
    }

    private func mayCall(_ function: Function, _ holder: Principal) -> Bool {
        if case .functionToken(_, let namespace, let only) = holder {
            return namespace == function.namespaceId && (only == nil || only == function.id)
        }
        return holder.rights.has(.functionInvoke, on: function.resource)
    }

    /// The one function that scope, audience and resource name, each of them that is there.
    private func target(of form: TokenRequest) throws(OAuthError) -> FunctionName {
        let start = urls.functions
        var named: [FunctionName?] = (form.scope ?? "").split(separator: " ").map { FunctionName(scope: $0) }
        guard !named.contains(nil) else { throw OAuthError(.invalidScope, "scope must be fn:NAMESPACE/FUNCTION") }
        for text in form.targets {
            named.append(FunctionName(scope: text[...]) ?? (text.hasPrefix(start) ? FunctionName(text.dropFirst(start.count)) : nil))
        }
        guard let first = named.first else {
            throw OAuthError(.invalidRequest, "say which function the token is for: scope=fn:NAMESPACE/FUNCTION, or its URL in audience")
        }
        guard let first, named.allSatisfy({ $0 == first }) else {
            throw OAuthError(.invalidTarget, "a token is for one function: audience and resource are its URL, \(start)NAMESPACE/FUNCTION")
        }
        return first
    }
}

extension FunctionName {
    /// `fn:NAMESPACE/FUNCTION`, or the same with `:invoke`.
    fileprivate init?(scope: Substring) {
        guard scope.hasPrefix("fn:") else { return nil }
        let rest = scope.dropFirst(3)
        self.init(rest.hasSuffix(":invoke") ? rest.dropLast(":invoke".count) : rest)
    }
}
