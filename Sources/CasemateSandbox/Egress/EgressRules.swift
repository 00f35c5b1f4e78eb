import CasemateModel
import CasemateVault
import NIOCore

/// What one sandbox may reach, and who hears of it.
public struct EgressRules: Sendable {
    /// `namespace/function`, or what else the sandbox is for.
    public let owner: String
    public let hosts: [AllowedHost]
    /// Ranges of the namespace's policy, as they are now; nil where any address will do: a build fetches from the operator's own index.
    public let listed: (@Sendable () -> [AddressRange])?
    public let record: EgressRecord
    /// Functions that may be called besides, by names of the platform's own.
    public let peers: (any EgressPeers)?
    /// Secrets that are put into its requests.
    public let injections: Injections?
    /// Finds the function's secrets, none of which goes out without TLS or stands in what is told.
    let secrets: Redactor
    private let tell: @Sendable (Refused) -> Void

    /// A refusal for whoever writes it down.
    public struct Refused: Sendable {
        public var target: String
        public var reason: EgressRefusal
        /// In full, for the function's author.
        public var detail: String
    }

    /// - Parameter tell: hears of refusals, of the same one every ten seconds at most.
    package init(
        owner: String, hosts: [AllowedHost], listed: (@Sendable () -> [AddressRange])?, record: EgressRecord,
        peers: (any EgressPeers)? = nil, injections: Injections? = nil, secrets: Redactor = Redactor([]),
        tell: @Sendable @escaping (Refused) -> Void
    ) {
        self.owner = owner
        self.hosts = hosts
        self.listed = listed
        self.record = record
        self.peers = peers
        self.injections = injections
        self.secrets = secrets
        self.tell = tell
    }

    func refuse(_ target: String, _ reason: EgressRefusal, _ detail: String) {
        let target = shown(target)
        if record.refuse(target, reason) { tell(Refused(target: target, reason: reason, detail: shown(detail))) }
    }

    /// A text for logs and lists, without the values of secrets: names are the function's to choose, and a connection string that was cut
    /// wrong makes one of a password.
    func shown(_ text: String) -> String { secrets.redact(text).map { String(decoding: $0.bytes, as: UTF8.self) } ?? text }

    /// The ports at which `name`, in lower case, may be reached.
    func ports(of name: String) -> [UInt16] {
        var ports: [UInt16] = []
        for host in hosts where host.allows(name) && !ports.contains(host.port) { ports.append(host.port) }
        return ports.isEmpty && peers?.leads(to: name) ?? false ? [80] : ports
    }

    /// What lets a private address through, for the end of a message; empty where nothing does.
    func remedy(_ refusal: AddressGuard.Refusal, _ address: IPAddress) -> String {
        guard refusal == .reserved, let namespace = owner.split(separator: "/").first else { return "" }
        let range = "\(address)/\(address.bytes.count * 8)"
        return "; where that is meant, a policy lists its range: casemate policy set \(namespace) FILE, with "
            + #"{"egress": {"cidrs": ["\#(range)"]}}"#
    }

    /// How whoever may do so allows what was refused.
    func command(_ target: String) -> String { "casemate egress allow \(owner) \(target)" }
}

/// Where names lead that stand for functions of the platform, not for hosts of the world.
public protocol EgressPeers: Sendable {
    /// The loop on which connections to them are served.
    var loop: any EventLoop { get }
    /// Whether `name`, in lower case, may be called now. Asked on any thread.
    func leads(to name: String) -> Bool
    /// Serves a connection to `name`, on the loop.
    func take(_ channel: any Channel, to name: String) throws
}
