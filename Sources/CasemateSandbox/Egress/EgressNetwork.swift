import CasemateModel
import NIOCore
import NIOPosix

/// What the ways out of all sandboxes share: a thread for their traffic, the resolver, the warden, limits and totals.
public final class EgressNetwork: Sendable {
    public struct Limits: Sendable {
        /// A connection without a byte either way ends.
        public var idle: TimeAmount
        /// So does one that is older.
        public var total: TimeAmount
        /// For the first bytes, and for connecting.
        public var opening: TimeAmount
        public var perFunction: EgressRecord.Limits

        public init(
            idle: TimeAmount = .minutes(10), total: TimeAmount = .hours(24), opening: TimeAmount = .seconds(10),
            perFunction: EgressRecord.Limits = EgressRecord.Limits()
        ) {
            self.idle = idle
            self.total = total
            self.opening = opening
            self.perFunction = perFunction
        }
    }

    public let limits: Limits
    public let totals = EgressTotals()
    let loop: any EventLoop
    let resolver: UpstreamResolver
    let addresses = AddressGuard()
    public let warden: WardenClient
    private let group: MultiThreadedEventLoopGroup
    /// For connections whose TLS is the server's own, to the hosts of injected secrets.
    let authorities: UpstreamAuthorities

    /// - Parameter authorities: those that are trusted besides the system's, in PEM.
    public init(resolver: UpstreamResolver, warden: WardenClient, limits: Limits = Limits(), authorities: [UInt8] = []) throws {
        self.authorities = try UpstreamAuthorities(besides: authorities)
        self.resolver = resolver
        self.warden = warden
        self.limits = limits
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        loop = group.next()
    }

    /// The addresses that `name` leads to, all of them fit to be connected to; answers on the loop.
    func addresses(of name: String, for rules: EgressRules) -> EventLoopFuture<[IPAddress]> {
        let promise = loop.makePromise(of: [IPAddress].self)
        let guardian = addresses
        if let address = IPAddress(name) {
            promise.completeWith(Result { () throws(EgressFailure) in try rules.checked([address], by: guardian) })
            return promise.futureResult
        }
        resolver.resolve(name) { result in
            switch result {
            case .failure(.noAddress): promise.fail(EgressFailure(.noAddress, "the name has no address"))
            case .failure(.noAnswer): promise.fail(EgressFailure(.noAddress, "no resolver answered for the name"))
            case .success(let addresses):
                promise.completeWith(Result { () throws(EgressFailure) in try rules.checked(addresses, by: guardian) })
            }
        }
        return promise.futureResult
    }

    public func shutDown() async {
        resolver.close()
        try? await group.shutdownGracefully()
    }
}

extension EgressRules {
    /// All of them, where each is fit: one that must not be reached makes the whole answer suspect.
    fileprivate func checked(_ addresses: [IPAddress], by guardian: AddressGuard) throws(EgressFailure) -> [IPAddress] {
        guard let listed = listed?() else { return addresses }
        for address in addresses {
            if let refusal = guardian.refusal(of: address, listed: listed) {
                throw EgressFailure(.privateAddress, "the name leads to \(address), \(refusal.rawValue)\(remedy(refusal, address))")
            }
        }
        return addresses
    }
}

/// Why a connection was not made.
struct EgressFailure: Error {
    let reason: EgressRefusal
    let detail: String

    init(_ reason: EgressRefusal, _ detail: String) {
        self.reason = reason
        self.detail = detail
    }
}
