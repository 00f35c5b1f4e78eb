import CasemateModel

/// Random bits that stand in every credential of one kind which the platform gives to one function, and without which none of them is of use.
///
/// They are known before the first call: whatever the function prints or answers is searched for them, at no cost for each credential.
public struct CredentialSeal: Sendable, CustomStringConvertible, CustomReflectable {
    let text = Id<CredentialSeal>().text

    static let sessionPrefix = "cms_"

    public init() {}

    /// What must be looked for.
    public var utf8: [UInt8] { Array(text.utf8) }

    /// The key of one call's session: the seal, and bits of its own.
    public func sessionKey(using generator: inout some RandomNumberGenerator) -> Credential {
        Credential(Self.sessionPrefix + text + Id<CredentialSeal>(using: &generator).text)!
    }

    public var description: String { "<redacted>" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Those of one function's sessions, and of its tokens for each audience: whoever is shown one kind learns nothing of another.
public struct CredentialSeals: Sendable {
    public let session = CredentialSeal()
    public let workload: [String: CredentialSeal]
    private let needed: [CredentialSeal]

    public init(audiences: [String], hasSessions: Bool) {
        workload = Dictionary(audiences.map { ($0, CredentialSeal()) }) { first, _ in first }
        needed = workload.values + (hasSessions ? [session] : [])
    }

    /// What must be looked for.
    public var utf8: [[UInt8]] { needed.map(\.utf8) }
}
