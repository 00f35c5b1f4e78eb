import CasemateModel

/// What a token says (RFC 7519 §4.1), in the right form, and nothing more.
struct UnverifiedClaims: Sendable {
    static let most = 12_288

    let bytes: [UInt8]
    let issuer: String
    let subject: String
    let audiences: [String]
    /// Whole seconds since 1970.
    let expires: Int64
    let notBefore: Int64?
    let issuedAt: Int64?
    let fields: JSONObject

    init(_ bytes: [UInt8]) throws(TokenFault) {
        guard bytes.count <= Self.most, let fields = JSONObject(bytes) else { throw .malformed("its claims can't be read") }
        guard case .text(let issuer)? = fields["iss"], (1...512).contains(issuer.utf8.count) else { throw .malformed("it has no issuer") }
        guard case .text(let subject)? = fields["sub"], (1...255).contains(subject.utf8.count) else {
            throw .malformed("it has no subject")
        }
        guard let audiences = fields["aud"]?.texts, (1...32).contains(audiences.count) else { throw .malformed("it has no audience") }
        guard let expires = try Self.time(fields["exp"]) else { throw .malformed("it never expires") }
        self.bytes = bytes
        self.fields = fields
        self.issuer = issuer
        self.subject = subject
        self.audiences = audiences
        self.expires = expires
        notBefore = try Self.time(fields["nbf"])
        issuedAt = try Self.time(fields["iat"])
    }

    /// Up to the year 9999. A NumericDate may have a fraction (RFC 7519 §2); no provider writes one, so that one is a sign of an attempt.
    private static func time(_ value: JSONValue?) throws(TokenFault) -> Int64? {
        switch value {
        case nil: return nil
        case .whole(let seconds)? where (0...253_402_300_799).contains(seconds): return seconds
        default: throw .malformed("one of its times is none")
        }
    }

    func texts(_ name: String) -> [String]? { fields[name]?.texts }

    /// A claim that is one text.
    func text(_ name: String) -> String? {
        if case .text(let text)? = fields[name] { return text }
        return nil
    }

    /// A security event (RFC 8417 §2.2), such as a logout token: told about somebody, not by them.
    var isEvent: Bool { fields["events"] != nil }

    var isEmailVerified: Bool { fields["email_verified"] == .flag(true) }

    /// What `scope` (RFC 8693 §4.2), `scp` or `scopes` list: texts, or words in one text.
    var scopes: Set<String> {
        let lists: [[String]] = ["scope", "scp", "scopes"].map { texts($0) ?? [] }
        return Set(lists.joined().flatMap { $0.split(separator: " ") }.map(String.init))
    }
}
