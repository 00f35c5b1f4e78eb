import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateWire
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// How the gateway listens.
package struct GatewaySettings: Sendable {
    package var host: String
    package var port: Int
    /// One that listens there already.
    package var socket: Int32?
    /// In bytes.
    package var maximumRequestBody: Int
    package var tls: NIOSSLContext?
    package var trustedProxies: [AddressRange]

    package init(
        host: String, port: Int, socket: Int32? = nil, maximumRequestBody: Int, tls: NIOSSLContext?, trustedProxies: [AddressRange]
    ) {
        self.socket = socket
        self.host = host
        self.port = port
        self.maximumRequestBody = maximumRequestBody
        self.tls = tls
        self.trustedProxies = trustedProxies
    }

    var isTLS: Bool { tls != nil }
}

/// The listener for calling functions: NIO channel handlers on one event loop, so that a call stays on one thread from end to end.
package final class Gateway: Sendable {
    package let loop: any EventLoop
    private let group: MultiThreadedEventLoopGroup
    private let pipeline: NIOLoopBoundBox<InvokePipeline?>

    package init() {
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        loop = group.next()
        pipeline = NIOLoopBoundBox.makeBoxSendingValue(nil, eventLoop: loop)
    }

    /// Builds the pipeline on the loop and listens. Answers the port that was bound.
    package func start(
        _ settings: GatewaySettings, warden: WardenClient, catalog: Catalog,
        makePipeline: @Sendable @escaping (any EventLoop) -> InvokePipeline
    ) async throws -> Int {
        try await loop.submit {
            let pipeline = makePipeline(self.loop)
            pipeline.links.install = { [unowned pipeline] channel, link in
                // Its sandbox is beside us: no TLS, whatever the gateway's own listener has.
                var inner = settings
                inner.tls = nil
                try Self.serve(channel, GatewayHandler(settings: inner, pipeline: pipeline, link: link))
            }
            self.pipeline.value = pipeline
        }.get()
        catalog.onChange { id in self.onPipeline { $0.instances.changed(id) } }
        loop.scheduleRepeatedTask(initialDelay: .milliseconds(50), delay: .milliseconds(50)) { _ in self.pipeline.value?.tick() }
        warden.start(
            WardenClient.Events(
                ended: { sandbox, reason, _ in self.onPipeline { $0.instances.sandboxEnded(sandbox, reason) } },
                connected: { self.onPipeline { $0.instances.wardenConnected() } },
                disconnected: { self.onPipeline { $0.instances.wardenDisconnected() } },
                attempted: { sandbox, call in self.onPipeline { $0.instances.sandboxAttempted(sandbox, HostileCall.name(call)) } }))
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let pipeline = self.pipeline.value else { throw ChannelError.eof }
                    if let tls = settings.tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                    try Self.serve(channel, GatewayHandler(settings: settings, pipeline: pipeline))
                }
            }
        let listening =
            settings.socket.map { bootstrap.withBoundSocket($0) } ?? bootstrap.bind(host: settings.host, port: settings.port)
        let channel = try await listening.get()
        listener.withLockedValue { $0 = channel }
        return channel.localAddress?.port ?? settings.port
    }

    /// Has `install` serve what sandboxes send to the platform itself; called on the loop.
    package func servePlatform(_ install: @Sendable @escaping (any Channel, PlatformLink) -> Void) async {
        try? await loop.submit { self.pipeline.value?.links.installPlatform = install }.get()
    }

    private static func serve(_ channel: any Channel, _ handler: GatewayHandler) throws {
        try channel.pipeline.syncOperations.addHandler(
            ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes), maximumBufferSize: mostUndecoded))
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    /// One field of a head that is not complete yet is the most that a request leaves behind; after an upgrade nothing is decoded at all.
    private static let mostUndecoded = 1 << 17

    private let listener = NIOLockedValueBox<(any Channel)?>(nil)

    private func onPipeline(_ body: @Sendable @escaping (InvokePipeline) -> Void) {
        loop.execute { if let pipeline = self.pipeline.value { body(pipeline) } }
    }

    /// What `GET /metrics` tells; nil once the gateway is down.
    package func snapshot() async -> (metrics: CallMetrics, gauges: CallGauges, queue: QueueMetrics)? {
        try? await loop.submit { self.pipeline.value?.snapshot }.get() ?? nil
    }

    /// Has queued calls run from now on.
    package func startWorkers() { onPipeline { $0.workers.start() } }

    /// Claims nothing more of the queue, and has connections end with their next answer.
    package func prepareToStop() {
        onPipeline { pipeline in
            pipeline.isStopping = true
            pipeline.workers.stop()
        }
    }

    /// Claims nothing more of the queue, and waits until no call runs, but no longer than `limit`. What is left then is the next server's.
    package func stopWorkers(within limit: Duration) async {
        prepareToStop()
        let (begin, clock) = (ContinuousClock.now, ContinuousClock())
        // Whoever was let in last may still be about to ask.
        func isOver() async -> Bool {
            let isLate = clock.now - begin > .seconds(1)
            return (try? await loop.submit { self.pipeline.value.map { $0.isIdle && ($0.silent == 0 || isLate) } ?? true }.get()) ?? true
        }
        while clock.now - begin < limit, await !isOver() { try? await Task.sleep(for: .milliseconds(20)) }
        try? await loop.submit { self.pipeline.value?.workers.abandon() }.get()
    }

    /// A call of the function was put into the queue, or may run again.
    package func queueHas(_ function: FunctionId) { onPipeline { $0.workers.arrived(function) } }

    /// Calls ended that no worker had.
    package func queueEnded(_ calls: [QueuedCall]) { if !calls.isEmpty { onPipeline { $0.workers.ended(calls) } } }

    package func clockWasSet() { onPipeline { $0.workers.clockWasSet() } }

    /// Ends a call that was cancelled, where it runs here.
    package func cancel(_ call: CallId) { onPipeline { _ = $0.workers.cancel(call) } }

    /// How many interpreters wait, for `casemate status`.
    package func warmSandboxes() async -> Int {
        (try? await loop.submit { self.pipeline.value?.instances.warmSandboxes ?? 0 }.get()) ?? 0
    }

    /// What a connection that was let in has for its request, once no more are.
    package static let lastWords = TimeAmount.milliseconds(250)

    /// Takes no more connections. Those that wait in the kernel are the next server's, if the socket outlives this one.
    package func stopListening() async {
        guard let channel = listener.withLockedValue({ $0 }) else { return }
        try? await channel.setOption(.autoRead, value: false).get()
        try? await Task.sleep(for: .nanoseconds(Self.lastWords.nanoseconds))
        try? await channel.close().get()
    }

    /// Ends the loop. The warden's client must be closed by then: its reports come here.
    package func shutDown() async { try? await group.shutdownGracefully() }
}
