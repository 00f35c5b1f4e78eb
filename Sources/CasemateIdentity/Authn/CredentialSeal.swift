import CasemateModel

/// Random bits that stand in every credential which the platform gives to one function, and without which none of them is of use.
///
/// They are known before the first call: whatever the function prints or answers is searched for them, at no cost for each credential.
public struct CredentialSeal: Sendable, CustomStringConvertible, CustomReflectable {
    let text = Id<CredentialSeal>().text

    public init() {}

    /// What must be looked for.
    public var utf8: [UInt8] { Array(text.utf8) }

    /// The key of one call's session: the seal, and bits of its own.
    public func sessionKey(using generator: inout some RandomNumberGenerator) -> Credential {
        Credential("cms_" + text + Id<CredentialSeal>(using: &generator).text)!
    }

    public var description: String { "<redacted>" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
