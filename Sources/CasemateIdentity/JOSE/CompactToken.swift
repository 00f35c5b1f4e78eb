import CasemateModel

/// A JSON Web Signature in compact form (RFC 7515 §7.1), taken apart. Nothing in it is to be believed before it is verified.
struct CompactToken: Sendable {
    /// Of the whole text, in bytes: a token comes in one header field.
    static let longest = 16_384
    private static let longestHeader = 2_048
    private static let longestKeyId = 256

    let algorithm: String
    let keyId: String?
    /// Lower-case, without `application/` (RFC 7515 §4.1.9).
    let type: String?
    let claims: UnverifiedClaims
    /// Header and claims as they stand in the text.
    let signedPart: [UInt8]
    let signature: [UInt8]

    /// Whether it looks like one: three parts, of which the first begins like a JSON object.
    static func isLikely(_ text: some StringProtocol) -> Bool {
        text.utf8.count > 20 && text.hasPrefix("ey") && text.utf8.reduce(0) { $0 + ($1 == UInt8(ascii: ".") ? 1 : 0) } == 2
    }

    /// - Throws: for what is not strictly of that form: other characters than base64url's, padding, a repeated name, a number that is
    ///   none, critical extensions (`crit`), whatever their name.
    init(_ text: String) throws(TokenFault) {
        guard text.utf8.count <= Self.longest else { throw .malformed("it is longer than \(Self.longest) bytes") }
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, parts.allSatisfy({ !$0.isEmpty }) else { throw .malformed("it has not three parts") }
        guard let header = Base64URL.decode(parts[0]), let payload = Base64URL.decode(parts[1]), let signature = Base64URL.decode(parts[2])
        else { throw .malformed("a part is not base64url") }
        guard header.count <= Self.longestHeader, let fields = JSONObject(header) else { throw .malformed("its header can't be read") }
        // Of a critical extension that is not understood a token must be refused (RFC 7515 §4.1.11), and we understand none. `jku`, `jwk`,
        // `x5u` and `x5c` are not looked at: a token does not say which key is to be believed.
        for name in ["crit", "b64", "enc", "zip"] where fields[name] != nil { throw .malformed("its header has \(name)") }
        guard case .text(let algorithm)? = fields["alg"] else { throw .malformed("its header names no algorithm") }
        self.algorithm = algorithm
        switch fields["kid"] {
        case nil: keyId = nil
        case .text(let id)? where id.utf8.count <= Self.longestKeyId: keyId = id
        default: throw .malformed("its key id is none")
        }
        switch fields["typ"] {
        case nil: type = nil
        case .text(let type)?:
            let lower = type.lowercased()
            self.type = lower.hasPrefix("application/") ? String(lower.dropFirst("application/".count)) : lower
        default: throw .malformed("its type is none")
        }
        claims = try UnverifiedClaims(payload)
        signedPart = Array(text.utf8.prefix(parts[0].count + 1 + parts[1].count))
        self.signature = signature
    }
}

/// Why a token is refused, in words that hold nothing of it. Its sender is told that it is not valid, and no more.
struct TokenFault: Error, Equatable, CustomStringConvertible {
    let description: String

    static func malformed(_ why: String) -> TokenFault { TokenFault(description: "malformed: \(why)") }
    static func refused(_ why: String) -> TokenFault { TokenFault(description: why) }
}
