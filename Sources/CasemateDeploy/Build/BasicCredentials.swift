import CasemateModel
import CasemateSandbox
import CasemateVault
import Foundation

/// User and password for a host that sandboxes ask (RFC 7617): put into their requests on the way out, and never in a sandbox.
struct BasicCredentials: Sendable {
    /// For the header field, after `Basic `.
    private let encoded: Secret
    /// What else an answer could tell.
    private let password: Secret

    /// `user:password`. A token may stand alone: some hosts take one for the user's name, and no password.
    init(userAndPassword: Secret) {
        let text = userAndPassword.withBytes { Array($0) }
        let end = text.firstIndex(of: UInt8(ascii: ":"))
        encoded = Secret(Data(end == nil ? text + [UInt8(ascii: ":")] : text).base64EncodedData())
        let password = end.map { Array(text[($0 + 1)...]) } ?? []
        self.password = Secret(password.isEmpty ? Array(text[..<(end ?? text.count)]) : password)
    }

    /// Nil without any.
    /// - Parameter name: what stands in the place of a value that an answer tells.
    static func injections(_ known: [(host: AllowedHost, credentials: BasicCredentials)], as name: String) throws -> Injections? {
        guard !known.isEmpty, let name = VariableName(name) else { return nil }
        return try Injections(
            known.map { host, credentials in
                (InjectedSecret(name: name, host: host, header: "Authorization", format: "Basic {}"), credentials.encoded)
            },
            redactor: Redactor(
                known.flatMap { [$0.credentials.encoded, $0.credentials.password] }.map { secret in
                    secret.withBytes { .secret(name: name.text, value: Array($0)) }
                }))
    }
}
