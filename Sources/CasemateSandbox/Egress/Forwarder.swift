import CLinux
import CasemateModel
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Sets up what a connection out of a sandbox needs before its first byte passes, by its port.
enum Forwarder {
    /// Takes a connection to the address of `target`'s name. Its channel does not read by itself yet.
    static func take(_ channel: any Channel, to target: EgressTarget, of egress: SandboxEgress) throws {
        guard let rules = egress.rules else { throw ChannelError.eof }
        let connection = ForwardedConnection(channel, target: target, rules: rules, network: egress.network)
        guard connection.admit() else { return }
        let injection = rules.injections?.injection(at: target)
        switch target.port {
        case 80:
            try channel.pipeline.syncOperations.addHandlers([
                ForwardedRequests.decoder(), ForwardedRequests(connection, injection: injection),
            ])
        default:
            let rule: Opening.Rule = target.isAddress ? .anything : target.port == 443 || injection != nil ? .tls : .tlsOrOther
            try channel.pipeline.syncOperations.addHandler(Opening(connection, rule, injection: injection))
        }
    }
}

/// One connection from a sandbox to the world: what it may do, how long, and how it ends. Lives on the loop of all of them.
final class ForwardedConnection {
    let target: EgressTarget
    let rules: EgressRules
    let inside: any Channel
    private let network: EgressNetwork
    /// The target, in lists.
    private let shown: String
    private let begun = NIODeadline.now()
    private var lastByte = NIODeadline.now()
    /// Nothing of it is taken or sent any more.
    private(set) var isOver = false
    /// Of its two ends, those that are not closed: it counts as one of the function's for as long as there is one.
    private var ends = 1

    init(_ inside: any Channel, target: EgressTarget, rules: EgressRules, network: EgressNetwork) {
        self.inside = inside
        self.target = target
        shown = rules.shown(target.description)
        self.rules = rules
        self.network = network
    }

    /// False when the function has too many; the connection is then refused already.
    func admit() -> Bool {
        guard rules.record.admit() else {
            refuse(.quota, Self.overQuota)
            return false
        }
        let bound = NIOLoopBound(self, eventLoop: network.loop)
        inside.closeFuture.whenComplete { _ in
            bound.value.isOver = true
            bound.value.endClosed()
        }
        watch(network.limits.opening)
        return true
    }

    /// The first bytes are fit to be sent on, and the world is connected: from now on only silence ends it.
    func opened() {
        isOpen = true
        lastByte = .now()
    }

    private var isOpen = false

    var authorities: UpstreamAuthorities { network.authorities }

    private static let overQuota =
        "the function has too many connections, or moved too many bytes within an hour; the server's settings egress-connections and "
        + "egress-bytes-per-hour say how many"

    /// How many of a name's addresses are tried, each a quarter of a second after the one before.
    private static let mostAddresses = 8

    /// Connects to one of the name's addresses, whichever answers first (RFC 8305).
    ///
    /// - Parameter mayEndFirst: whether the world may finish its side and still listen.
    func connect(mayEndFirst: Bool = true) -> EventLoopFuture<any Channel> {
        let (target, network) = (target, network)
        let bound = NIOLoopBound(self, eventLoop: network.loop)
        ends += 1
        let outside = network.addresses(of: target.name, for: rules).flatMap { addresses -> EventLoopFuture<any Channel> in
            // The sandbox may have gone meanwhile.
            guard !bound.value.isOver else { return network.loop.makeFailedFuture(EgressFailure(.unreachable, "nobody waits for it")) }
            return ClientBootstrap(group: network.loop)
                .resolver(VettedAddresses(Array(addresses.prefix(Self.mostAddresses)), loop: network.loop))
                .connectTimeout(network.limits.opening)
                .channelOption(.allowRemoteHalfClosure, value: mayEndFirst)
                .channelOption(.autoRead, value: false)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .connect(host: target.name, port: Int(target.port))
                .flatMapErrorThrowing { _ in throw EgressFailure(.unreachable, "no connection could be made") }
        }
        outside.whenComplete { result in
            let connection = bound.value
            switch result {
            case .success(let channel):
                channel.closeFuture.whenComplete { _ in bound.value.endClosed() }
                guard !connection.isOver else { return channel.close(promise: nil) }
                connection.rules.record.connected(connection.shown)
            case .failure(let error):
                connection.endClosed()
                let failure = error as? EgressFailure ?? EgressFailure(.unreachable, "no connection could be made")
                connection.refuse(failure.reason, failure.detail)
            }
        }
        return outside
    }

    /// Bytes passed. Ends the connection when they were too many.
    func carried(out: Int = 0, in incoming: Int = 0) {
        lastByte = .now()
        if !rules.record.carried(shown, out: out, in: incoming) {
            refuse(.quota, Self.overQuota)
        }
    }

    /// The client asked for another name than it dialled.
    func refuseName(_ asked: String, _ saying: String) {
        let other = AllowedHost(name: asked, port: target.port).map { "; allow that with: \(rules.command($0.description))" } ?? ""
        refuse(.wrongName, "\(saying) \(asked.prefix(253)), not for the name it dialled\(other)")
    }

    /// Notes why, and resets the connection: whoever waits for an answer inside learns it at once.
    func refuse(_ reason: EgressRefusal, _ detail: String) {
        guard !isOver else { return }
        rules.refuse(target.description, reason, "\(target): \(detail)")
        reset()
    }

    func reset() {
        isOver = true
        let channel = inside
        guard let options = channel as? any SocketOptionProvider else { return channel.close(promise: nil) }
        options.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in
            // Where TLS ends here, past its handler: that would say farewell, wait for an answer, and read on meanwhile.
            if let tls = try? channel.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self) {
                tls.close(promise: nil)
            } else {
                channel.close(promise: nil)
            }
        }
    }

    private func endClosed() {
        ends -= 1
        if ends == 0 { rules.record.closed() }
    }

    /// Looks again when the time could be over.
    private func watch(_ delay: TimeAmount) {
        let bound = NIOLoopBound(Weak(self), eventLoop: network.loop)
        network.loop.scheduleTask(in: delay) { bound.value.connection?.look() }
    }

    private struct Weak {
        weak var connection: ForwardedConnection?
        init(_ connection: ForwardedConnection) { self.connection = connection }
    }

    private func look() {
        guard !isOver else { return }
        let now = NIODeadline.now()
        let limits = network.limits
        guard isOpen else {
            return refuse(.tooSlow, "nothing that can be sent on came within \(limits.opening.nanoseconds / 1_000_000_000) s")
        }
        guard now - begun < limits.total, now - lastByte < limits.idle else { return reset() }
        watch(min(limits.total - (now - begun), limits.idle - (now - lastByte)))
    }
}

/// Addresses that were found fit, as the answer to whatever NIO asks.
private final class VettedAddresses: Resolver, Sendable {
    private let addresses: [IPAddress]
    private let loop: any EventLoop

    init(_ addresses: [IPAddress], loop: any EventLoop) {
        self.addresses = addresses
        self.loop = loop
    }

    func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { those(port) { !$0.isV6 } }
    func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { those(port) { $0.isV6 } }
    func cancelQueries() {}

    private func those(_ port: Int, _ isMeant: (IPAddress) -> Bool) -> EventLoopFuture<[SocketAddress]> {
        loop.makeSucceededFuture(
            addresses.filter(isMeant).compactMap { try? SocketAddress(packedIPAddress: ByteBuffer(bytes: $0.bytes), port: port) })
    }
}
