import CasemateModel

/// `/.well-known/security.txt` (RFC 9116): whom to tell about a weakness of this installation.
struct SecurityText: Sendable {
    let text: String

    init(_ settings: ServerSettings) {
        let contact = settings.securityContact ?? "mailto:security@\(settings.domain)"
        let expires = settings.securityExpires ?? Timestamp.now.advanced(byMilliseconds: 365 * 86_400_000).rfc3339
        text = "Contact: \(contact)\nExpires: \(expires)\nPreferred-Languages: en\n"
    }
}
