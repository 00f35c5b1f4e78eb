import CasemateLinux
import CasemateWire
import NIOCore
import NIOPosix
import NIOTLS

/// A sandbox's way out: a resolver that knows the allowed names alone, and a forwarder for each of them.
///
/// The sockets live in the sandbox's network namespace, the connections to the world on the host's. TLS stays end to end: what the client
/// says in its hello (SNI) must be the name whose address it dialled.
public struct Egress: Sendable {
    private let channels: [any Channel]

    /// Opens the way for `hosts`; at most 48, on a sandbox that waits.
    /// - Parameter group: carries the traffic.
    public static func open(
        _ hosts: [AllowedHost], sandbox: UInt32, warden: WardenClient, group: any EventLoopGroup
    ) async throws -> Egress {
        let (_, descriptors) = try await warden.order(.openEgress(sandbox: sandbox, ports: hosts.map(\.port)))
        guard descriptors.count == hosts.count + 2 else { throw WardenFailure.unexpected }
        var channels: [any Channel] = []
        do {
            let resolver = NameResponder(names: hosts.map(\.name))
            channels.append(
                try await DatagramBootstrap(group: group)
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(NameHandler(responder: resolver))
                        }
                    }
                    .withBoundSocket(try descriptors[0].duplicate()).get())
            for (host, descriptor) in zip(hosts, descriptors.dropFirst(2)) {
                channels.append(
                    try await ServerBootstrap(group: group)
                        .childChannelOption(.autoRead, value: true)
                        .childChannelOption(.allowRemoteHalfClosure, value: true)
                        .childChannelInitializer { Forwarder.install(in: $0, for: host) }
                        .withBoundSocket(try descriptor.duplicate()).get())
            }
        } catch {
            for channel in channels { channel.close(promise: nil) }
            throw error
        }
        return Egress(channels: channels)
    }

    public func close() { for channel in channels { channel.close(promise: nil) } }
}

/// Which address stands for which name inside.
struct NameResponder: Sendable {
    /// In the order of the listeners' addresses 127.66.0.1, 127.66.0.2, …
    let names: [String]

    func answer(_ query: NameQuery) -> NameQuery.Answer {
        guard let index = names.firstIndex(of: query.name) else { return .noSuchName }
        // AAAA and the rest: the name exists, so that a resolver goes on with A.
        guard query.type == NameQuery.typeA else { return .nothing }
        return .address(127, 66, 0, UInt8(index + 1))
    }
}

private final class NameHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    private let responder: NameResponder

    init(responder: NameResponder) { self.responder = responder }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard let query = NameQuery(Array(envelope.data.readableBytesView)) else { return }
        let answer = ByteBuffer(bytes: query.response(responder.answer(query)))
        context.writeAndFlush(wrapOutboundOut(AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: answer)), promise: nil)
    }
}
