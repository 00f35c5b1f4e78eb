import CasemateModel
import CasemateVault
import NIOHTTP1
import NIOSSL

/// The secrets that are put into one sandbox's requests, and the authority by which it trusts whoever does that.
public final class Injections: Sendable {
    private let secrets: [(place: InjectedSecret, value: Secret)]
    package let redactor: Redactor
    private let authority: SandboxAuthority

    /// - Parameter redactor: finds the values in what the hosts answer.
    package init(_ secrets: [(place: InjectedSecret, value: Secret)], redactor: Redactor) throws {
        self.secrets = secrets
        self.redactor = redactor
        authority = try SandboxAuthority(for: Set(secrets.map(\.place.host.name)))
    }

    /// What the sandbox's clients have to trust, in PEM.
    public var certificate: String { authority.certificate }

    /// For connections to `target`, where there is something to be put in.
    func injection(at target: EgressTarget) -> Injection? {
        let those = secrets.filter { $0.place.host.name == target.name && $0.place.host.port == target.port }
        return those.isEmpty ? nil : Injection(secrets: those, injections: self)
    }

    fileprivate func context(for name: String) throws -> NIOSSLContext { try authority.context(for: name) }
}

/// What is put into the requests to one host and port.
struct Injection {
    fileprivate let secrets: [(place: InjectedSecret, value: Secret)]
    fileprivate let injections: Injections

    var redactor: Redactor { injections.redactor }

    /// What answers the client inside.
    func context(for name: String) throws -> NIOSSLContext { try injections.context(for: name) }

    /// The request with the values in it, asking for an answer that can be searched for them; nil where a value can't stand in a header.
    func completed(_ head: HTTPRequestHead) -> HTTPRequestHead? {
        var head = head
        for (place, value) in secrets {
            let text = value.withBytes { bytes in
                // RFC 9110 §5.5: visible characters, spaces and tabs within.
                bytes.allSatisfy { $0 >= 32 && $0 != 127 || $0 == 9 } ? String(validating: bytes, as: UTF8.self) : nil
            }
            guard let text else { return nil }
            head.headers.replaceOrAdd(name: place.header, value: place.rendered(text))
        }
        // A part of a body could begin within a value, and a compressed one can't be searched as it passes.
        for name in ["Range", "If-Range", "TE"] { head.headers.remove(name: name) }
        head.headers.replaceOrAdd(name: "Accept-Encoding", value: "identity")
        return head
    }
}
