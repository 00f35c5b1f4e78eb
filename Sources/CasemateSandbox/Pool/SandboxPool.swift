import CLinux
import CasemateLinux
import CasemateWire
import Glibc
import NIOCore
import NIOPosix

/// Pre-warmed sandboxes of one runtime profile, kept at a target number. Lives on one event loop.
///
/// The state machine decides, this shell carries out: it orders sandboxes, connects their sockets to the loop and waits until the
/// interpreter says that it is warm.
public final class SandboxPool {
    /// Gets a warm sandbox, or nil when there is no capacity.
    public typealias Taker = (WarmSandbox?) -> Void

    public let profile: String
    private let loop: any EventLoop
    private let warden: WardenClient
    private let network: EgressNetwork
    private var state: SandboxPoolState<WarmSandbox, Taker>
    private var isRefillDue = false
    /// What pool sandboxes are made with; the warden sets the function's own limits when it attaches a bundle.
    public static let startLimits = SandboxLimits(memoryInBytes: 256 << 20, cpuInMillicores: 1000, pids: 64, tmpInBytes: 64 << 20)

    /// - Parameters:
    ///   - target: so many wait at least.
    ///   - most: so many at most, when they are taken quickly.
    public init(profile: String, target: Int, most: Int, loop: any EventLoop, network: EgressNetwork) {
        self.profile = profile
        self.loop = loop
        self.network = network
        warden = network.warden
        state = SandboxPoolState(target: target, most: most)
        let bound = NIOLoopBound(Weak(self), eventLoop: loop)
        loop.scheduleRepeatedTask(initialDelay: .seconds(5), delay: .seconds(5)) { task in
            guard let pool = bound.value.pool else { return task.cancel() }
            pool.carryOut(pool.state.look())
        }
    }

    private struct Weak {
        weak var pool: SandboxPool?
        init(_ pool: SandboxPool) { self.pool = pool }
    }

    public var readyCount: Int { state.ready.count }

    /// How many there are of which kind, for the metrics.
    public var counts: (ready: Int, starting: Int, waiting: Int, target: Int) {
        (state.ready.count, state.starting, state.waiters.count, state.target)
    }

    public func wardenConnected() { carryOut(state.wardenConnected()) }

    public func wardenDisconnected() {
        let (lost, actions) = state.wardenDisconnected()
        for sandbox in lost { sandbox.close() }
        carryOut(actions)
    }

    public func take(_ taker: @escaping Taker) { carryOut(state.wanted(by: taker)) }

    private func carryOut(_ actions: SandboxPoolState<WarmSandbox, Taker>.Actions) {
        for (taker, sandbox) in actions.give { taker(sandbox) }
        for taker in actions.refuse { taker(nil) }
        for sandbox in actions.end {
            sandbox.onClosed = nil
            sandbox.close()
            destroy(sandbox.id)
        }
        for _ in 0..<actions.start { start() }
        if actions.refillsLater { refill(in: Self.calm) }
    }

    /// A cold start takes about this long.
    private static let calm = TimeAmount.milliseconds(10)

    private func refill(in delay: TimeAmount) {
        guard !isRefillDue else { return }
        isRefillDue = true
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: delay) {
            let pool = bound.value
            pool.isRefillDue = false
            pool.carryOut(pool.state.refillNow())
        }
    }

    private func start() {
        let bound = NIOLoopBound(self, eventLoop: loop)
        let loop = self.loop
        warden.order(.create(profile: profile, purpose: .run, limits: Self.startLimits)) { result in
            loop.execute {
                let pool = bound.value
                do {
                    try pool.connect(WardenClient.handle(try result.get()))
                } catch {
                    pool.failedToStart()
                }
            }
        }
    }

    private func failedToStart() {
        carryOut(state.startFailed())
        // Not at once: a host that can't start any would spin.
        refill(in: .seconds(1))
    }

    private func connect(_ handle: SandboxHandle) {
        let handler = ShimChannelHandler()
        let outputHandler = PipeHandler()
        let errorHandler = PipeHandler()
        do {
            let control = try handle.control.duplicate()
            let output = try handle.output.duplicate()
            let error = try handle.error.duplicate()
            let bound = NIOLoopBound((self, handler, outputHandler, errorHandler), eventLoop: loop)
            let opened = ClientBootstrap(group: loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(bound.value.1) }
                }
                .withConnectedSocket(control)
            let id = handle.id
            let uid = handle.hostUID
            let first = NIOPipeBootstrap(group: loop).channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(bound.value.2) }
            }.takingOwnershipOfDescriptor(input: output)
            let second = NIOPipeBootstrap(group: loop).channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(bound.value.3) }
            }.takingOwnershipOfDescriptor(input: error)
            opened.and(first).and(second).whenComplete { result in
                let (pool, handler, outputHandler, errorHandler) = bound.value
                guard case .success(let ((controlChannel, outputChannel), errorChannel)) = result else { return pool.failedToStart() }
                let sandbox = WarmSandbox(
                    id: id, hostUID: uid, control: controlChannel, handler: handler, output: (outputChannel, output),
                    error: (errorChannel, error))
                outputHandler.onRead = { [weak sandbox] in sandbox?.took($0, isError: false) }
                outputHandler.onEnd = { [weak sandbox] in sandbox?.pipeEnded() }
                errorHandler.onRead = { [weak sandbox] in sandbox?.took($0, isError: true) }
                errorHandler.onEnd = { [weak sandbox] in sandbox?.pipeEnded() }
                pool.awaitWarm(sandbox)
            }
        } catch {
            failedToStart()
        }
    }

    private func awaitWarm(_ sandbox: WarmSandbox) {
        // The pool keeps it alive until someone takes it.
        var isWarm = false
        sandbox.onEvent = { [weak self] event in
            guard let self, case .head(let header, _) = event else { return }
            guard header.kind == .warm, header.bodyLength == 0, !isWarm else {
                // Nothing of a user runs in there yet: a wrong frame is a fault of ours or of the runtime.
                return self.discard(sandbox, wasWarm: sandbox.egress != nil)
            }
            isWarm = true
            self.openEgress(of: sandbox)
        }
        sandbox.onClosed = { [weak self] _ in self?.discard(sandbox, wasWarm: sandbox.egress != nil) }
    }

    /// The last step of filling: with its resolver it is ready.
    private func openEgress(of sandbox: WarmSandbox) {
        let bound = NIOLoopBound((self, sandbox), eventLoop: loop)
        let loop = self.loop
        SandboxEgress.open(sandbox.id, network: network) { result in
            loop.execute {
                let (pool, sandbox) = bound.value
                guard case .success(let egress) = result, sandbox.isOpen else {
                    try? result.get().close()
                    // One that is closed was counted already.
                    return sandbox.isOpen ? pool.discard(sandbox, wasWarm: false) : ()
                }
                sandbox.egress = egress
                pool.carryOut(pool.state.becameReady(sandbox))
            }
        }
    }

    private func discard(_ sandbox: WarmSandbox, wasWarm: Bool) {
        sandbox.close()
        destroy(sandbox.id)
        if wasWarm { carryOut(state.lost { $0 === sandbox }) } else { failedToStart() }
    }

    /// Ends a sandbox that was taken. Never fails: without a warden it is gone already.
    public func destroy(_ id: UInt32, _ done: (@Sendable () -> Void)? = nil) {
        warden.order(.destroy(sandbox: id)) { _ in done?() }
    }

    /// Stops all of a sandbox's processes where they are. Answers the memory that they hold, nil when they could not be stopped.
    public func freeze(_ id: UInt32, _ done: @escaping (Int?) -> Void) {
        ask(.freeze(sandbox: id), done) { reply -> Int? in
            if case .frozen(let bytes) = reply { Int(clamping: bytes) } else { nil }
        }
    }

    public func thaw(_ id: UInt32, _ done: @escaping (Bool) -> Void) {
        ask(.thaw(sandbox: id), { done($0 ?? false) }) { reply -> Bool? in
            if case .done = reply { true } else { nil }
        }
    }

    /// What a sandbox's control group has counted; nil when it is gone, or the warden takes longer than a moment.
    public func count(_ id: UInt32, _ done: @escaping (SandboxCounts?) -> Void) {
        var isDone = false
        let once = { (counts: SandboxCounts?) in
            guard !isDone else { return }
            isDone = true
            done(counts)
        }
        let bound = NIOLoopBound(once, eventLoop: loop)
        loop.scheduleTask(in: .milliseconds(300)) { bound.value(nil) }
        ask(.count(sandbox: id), once) { reply -> SandboxCounts? in
            if case .counted(let counts) = reply { counts } else { nil }
        }
    }

    /// Gives an order, and answers on the loop with what `read` makes of the reply; nil when it was refused.
    private func ask<R: Sendable>(_ order: Order, _ done: @escaping (R?) -> Void, _ read: @Sendable @escaping (Reply) -> R?) {
        let loop = self.loop
        let bound = NIOLoopBound(done, eventLoop: loop)
        warden.order(order) { result in
            let value = (try? result.get()).flatMap { read($0.0) }
            loop.execute { bound.value(value) }
        }
    }

    /// Attaches the bundle of one revision and sets its limits.
    public func specialise(
        _ sandbox: WarmSandbox, bundle: BundleDigest, limits: SandboxLimits, _ done: @escaping (WardenFailure?) -> Void
    ) {
        let loop = self.loop
        let bound = NIOLoopBound(done, eventLoop: loop)
        warden.order(.specialise(sandbox: sandbox.id, bundle: bundle, limits: limits)) { result in
            let failure: WardenFailure? =
                switch result {
                case .success((.done, _)): nil
                case .success((.refused(let code, let detail), _)): .refused(code, detail)
                case .success: .unexpected
                case .failure(let failure): failure
                }
            loop.execute { bound.value(failure) }
        }
    }
}
