import CasemateLinux
import CasemateModel
import CasemateWire
import NIOCore
import NIOPosix
import Synchronization

/// One sandbox's way out: a resolver that knows the allowed names alone, and a forwarder for each of their ports.
///
/// The sockets live in the sandbox's network namespace, which has no route; the connections to the world are the server's. Before it has
/// rules it knows no name.
public final class SandboxEgress: Sendable {
    private struct State {
        var rules: EgressRules?
        /// Which address stands for which name inside.
        var indices: [String: UInt16] = [:]
        var names: [UInt16: String] = [:]
        var open: Set<InnerListener> = []
        /// Questions for names whose listeners are not there yet. Only the first is being worked at.
        var waiting: [Waiting] = []
        /// Listeners that could not be opened, and until when that is not tried again.
        var failed: [InnerListener: NIODeadline] = [:]
        var streams = 0
        /// Listeners, and connections of the sandbox.
        var channels: [ObjectIdentifier: any Channel] = [:]
        /// Refused names whose port is not known yet.
        var pending: Set<String> = []
        var isClosed = false
    }

    private struct Waiting {
        var listeners: [InnerListener]
        var reply: @Sendable (NameQuery.Answer) -> Void
        var answer: NameQuery.Answer
    }

    let network: EgressNetwork
    private let sandbox: UInt32
    private let state = Mutex(State())

    /// The way out of a sandbox that is warm and has none yet; `done` is called on any thread.
    public static func open(
        _ sandbox: UInt32, network: EgressNetwork, _ done: @escaping @Sendable (Result<SandboxEgress, any Error>) -> Void
    ) {
        network.warden.order(.openResolver(sandbox: sandbox)) { result in
            done(
                Result {
                    let (reply, descriptors) = try result.get()
                    if case .refused(let code, let detail) = reply { throw WardenFailure.refused(code, detail) }
                    guard descriptors.count == 2 else { throw WardenFailure.unexpected }
                    return try SandboxEgress(sandbox, datagrams: descriptors[0], stream: descriptors[1], network: network)
                })
        }
    }

    /// Serves the sandbox's resolver from now on, until it is closed.
    private init(_ sandbox: UInt32, datagrams: Descriptor, stream: Descriptor, network: EgressNetwork) throws {
        self.network = network
        self.sandbox = sandbox
        let datagrams = try datagrams.duplicate()
        let stream = try stream.duplicate()
        // Both bootstraps own what they are given, also when they fail.
        let first = DatagramBootstrap(group: network.loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(DatagramNames(self)) }
            }
            .withBoundSocket(datagrams)
        let second = ServerBootstrap(group: network.loop)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard self.keepStream(channel) else { throw ChannelError.eof }
                    try channel.pipeline.syncOperations.addHandlers([
                        ByteToMessageHandler(StreamedQueryDecoder(), maximumBufferSize: 2048), StreamedNames(self),
                    ])
                }
            }
            .withBoundSocket(stream)
        for opened in [first, second] { opened.whenSuccess { self.keepOrClose($0) } }
    }

    // MARK: Rules

    /// Sets what may be reached, and opens the listeners of all names that are known now. Once per sandbox.
    ///
    /// - Parameter done: called on any thread, when a connection to them would be taken.
    public func allow(_ rules: EgressRules, _ done: @escaping @Sendable (WardenFailure?) -> Void) {
        let listeners = state.withLock { state in
            state.rules = rules
            var listeners: [InnerListener] = []
            for host in rules.hosts where !host.isWild && host.range == nil {
                guard let index = Self.index(of: host.name, &state) else { continue }
                listeners.append(InnerListener(index: index, port: host.port))
            }
            return listeners
        }
        let ranges = rules.hosts.compactMap { InnerRange($0) }
        let opened: @Sendable (WardenFailure?) -> Void = { failure in
            if let failure { done(failure) } else { self.openRanges(ranges[...], done) }
        }
        guard !listeners.isEmpty else { return opened(nil) }
        open(Array(Set(listeners)), opened)
    }

    private func openRanges(_ ranges: ArraySlice<InnerRange>, _ done: @escaping @Sendable (WardenFailure?) -> Void) {
        guard let range = ranges.first else { return done(nil) }
        network.warden.order(.openRange(sandbox: sandbox, range)) { [self] result in
            switch result {
            case .failure(let failure): return done(failure)
            case .success((.refused(let code, let detail), _)): return done(.refused(code, detail))
            case .success((_, let descriptors)):
                guard descriptors.count == 1, let socket = try? descriptors[0].duplicate() else { return done(.unexpected) }
                serveRange(socket, port: range.port)
                openRanges(ranges.dropFirst(), done)
            }
        }
    }

    /// A listener for addresses: which one was dialled is the accepted socket's own address.
    private func serveRange(_ socket: CInt, port: UInt16) {
        take(socket) { channel in
            guard let address = channel.localAddress?.ipAddress, self.rules?.hosts.contains(where: { $0.allows(address, port) }) ?? false
            else { throw ChannelError.eof }
            try Forwarder.take(channel, to: EgressTarget(name: address, port: port), of: self)
        }
    }

    /// Accepts on a listener of the sandbox, on the loop of all.
    private func take(
        _ socket: CInt, onFailure: @escaping @Sendable () -> Void = {}, _ start: @escaping @Sendable (any Channel) throws -> Void
    ) {
        ServerBootstrap(group: network.loop)
            .serverChannelOption(.backlog, value: 128)
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                guard self.keep(channel) else { return channel.eventLoop.makeFailedFuture(ChannelError.eof) }
                return channel.eventLoop.makeCompletedFuture { try start(channel) }
            }
            .withBoundSocket(socket)
            .whenComplete { result in
                switch result {
                case .success(let channel): self.keepOrClose(channel)
                case .failure: onFailure()
                }
            }
    }

    var rules: EgressRules? { state.withLock { $0.rules } }

    private static func index(of name: String, _ state: inout State) -> UInt16? {
        if let known = state.indices[name] { return known }
        // Names below a wildcard are made up by the function: a bound on them, far below what the warden would open.
        guard state.indices.count < 512 else { return nil }
        let index = UInt16(state.indices.count + 1)
        state.indices[name] = index
        state.names[index] = name
        return index
    }

    // MARK: Listeners

    private func open(_ listeners: [InnerListener], _ done: @escaping @Sendable (WardenFailure?) -> Void) {
        let first = Array(listeners.prefix(maximumListenersPerOrder))
        let rest = Array(listeners.dropFirst(first.count))
        network.warden.order(.listen(sandbox: sandbox, first)) { [self] result in
            switch result {
            case .failure(let failure): return done(failure)
            case .success((.refused(let code, let detail), _)): return done(.refused(code, detail))
            case .success((_, let descriptors)):
                guard descriptors.count == first.count else { return done(.unexpected) }
                for (listener, descriptor) in zip(first, descriptors) { serve(listener, descriptor) }
                if rest.isEmpty { done(nil) } else { open(rest, done) }
            }
        }
    }

    private func serve(_ listener: InnerListener, _ descriptor: Descriptor) {
        guard let name = state.withLock({ $0.names[listener.index] }), let socket = try? descriptor.duplicate() else { return }
        state.withLock { _ = $0.open.insert(listener) }
        let target = EgressTarget(name: name, port: listener.port)
        if let rules, let peers = rules.peers, !rules.hosts.contains(where: { $0.allows(name) }) {
            return serve(listener, socket, peers, target)
        }
        take(socket, onFailure: { self.state.withLock { _ = $0.open.remove(listener) } }) { channel in
            try Forwarder.take(channel, to: target, of: self)
        }
    }

    /// A listener behind which is another function.
    private func serve(_ listener: InnerListener, _ socket: CInt, _ peers: any EgressPeers, _ target: EgressTarget) {
        ServerBootstrap(group: peers.loop)
            .serverChannelOption(.backlog, value: 128)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelInitializer { channel in
                guard self.keep(channel), let record = self.rules?.record, record.admit() else {
                    return channel.eventLoop.makeFailedFuture(ChannelError.eof)
                }
                channel.closeFuture.whenComplete { _ in record.closed() }
                record.connected(target.description)
                return channel.eventLoop.makeCompletedFuture { try peers.take(channel, to: target.name) }
            }
            .withBoundSocket(socket)
            .whenComplete { result in
                switch result {
                case .success(let channel): self.keepOrClose(channel)
                case .failure: self.state.withLock { _ = $0.open.remove(listener) }
                }
            }
    }

    /// Opens what a question asks for; one order of a sandbox is under way at a time, so that no function can fill the warden's socket.
    private func openLater(_ waiting: Waiting) {
        let now = NIODeadline.now()
        let isFirst = state.withLock { state -> Bool? in
            if waiting.listeners.contains(where: { state.failed[$0].map { $0 > now } ?? false }) { return nil }
            guard !state.isClosed, state.waiting.count < 64 else { return nil }
            state.waiting.append(waiting)
            return state.waiting.count == 1
        }
        switch isFirst {
        case nil: waiting.reply(.failed)
        case false?: break
        case true?: openNext()
        }
    }

    /// For the first that waits.
    private func openNext() {
        let next = state.withLock { state in state.waiting.first.map { ($0, $0.listeners.filter { !state.open.contains($0) }) } }
        guard let (waiting, missing) = next else { return }
        guard !missing.isEmpty else { return opened(waiting, nil) }
        open(missing) { self.opened(waiting, $0) }
    }

    private func opened(_ waiting: Waiting, _ failure: WardenFailure?) {
        let loop = network.loop
        loop.execute { [self] in
            state.withLock { state in
                state.waiting.removeFirst()
                guard failure != nil else { return }
                if state.failed.count > 256 { state.failed = [:] }
                for listener in waiting.listeners where !state.open.contains(listener) { state.failed[listener] = .now() + .seconds(5) }
            }
            waiting.reply(failure == nil ? waiting.answer : .failed)
            openNext()
        }
    }

    // MARK: Names

    enum Outcome {
        case now(NameQuery.Answer)
        /// The answer, once these listeners are there.
        case open([InnerListener], NameQuery.Answer)
    }

    func outcome(of query: NameQuery) -> Outcome {
        state.withLock { state in
            guard let rules = state.rules else { return .now(.noSuchName) }
            // What is no host's name is nobody's below a wild one either: a resolver reads a backslash in it as more than a letter.
            guard AllowedHost(name: query.name, port: 1) != nil else { return .now(.noSuchName) }
            let ports = rules.ports(of: query.name)
            guard !ports.isEmpty, let index = Self.index(of: query.name, &state) else { return .now(.noSuchName) }
            // AAAA and the rest: the name exists, so that a resolver goes on with A.
            guard query.type == NameQuery.typeA else { return .now(.nothing) }
            let listeners = ports.map { InnerListener(index: index, port: $0) }
            let missing = listeners.filter { !state.open.contains($0) }
            let answer = NameQuery.Answer.address(listeners[0].address)
            return missing.isEmpty ? .now(answer) : .open(missing, answer)
        }
    }

    /// What stands in the answer to `query`; `reply` is called once, on the loop.
    func resolve(_ query: NameQuery, _ reply: @escaping @Sendable (NameQuery.Answer) -> Void) {
        if let told = ToldRefusal(query.name) {
            note(told)
            return reply(.noSuchName)
        }
        switch outcome(of: query) {
        case .now(.noSuchName):
            refused(query.name)
            reply(.noSuchName)
        case .now(let answer): reply(answer)
        case .open(let listeners, let answer): openLater(Waiting(listeners: listeners, reply: reply, answer: answer))
        }
    }

    // MARK: Refusals

    /// A name was asked for that is not allowed. What the port would have been is told in a moment by a runtime that explains refusals.
    private func refused(_ name: String) {
        guard AllowedHost(name: name, port: 1) != nil else {
            // It goes to no log: a person might paste what stands there.
            rules?.refuse("a name that is none", .notAllowed, "what was asked for is no host's name")
            return
        }
        let isNew = state.withLock { state in
            guard state.rules != nil, state.pending.count < 64 else { return false }
            return state.pending.insert(name).inserted
        }
        guard isNew else { return }
        network.loop.scheduleTask(in: .milliseconds(100)) { [self] in
            guard state.withLock({ $0.pending.remove(name) }) != nil else { return }
            rules?.refuse("\(name):443", .notAllowed, notListed("\(name):443", "\(name) (443, or the port that is meant)"))
        }
    }

    /// The runtime tells what was refused where the server can't see it: by the kernel, which has no route, or at a port without a listener.
    private func note(_ told: ToldRefusal) {
        let target = state.withLock { state -> String? in
            switch told.host {
            case .name(let name):
                state.pending.remove(name)
                return "\(name):\(told.port)"
            case .address(let address):
                guard let index = InnerListener.index(of: address) else { return "\(address):\(told.port)" }
                return state.names[index].map { "\($0):\(told.port)" }
            }
        }
        guard let target, let rules else { return }
        if case .address(let address) = told.host, InnerListener.index(of: address) == nil {
            let detail = "\(target) is an address, and functions reach names only: list the name that stands for it"
            return rules.refuse(target, .notAllowed, detail)
        }
        rules.refuse(target, .notAllowed, notListed(target, target))
    }

    private func notListed(_ target: String, _ named: String) -> String {
        "\(named) is not in the function's egress list; allow it with: \(rules?.command(target) ?? "")"
    }

    // MARK: End

    /// Keeps a connection so that it ends with the sandbox; false when that has ended, or has too many.
    func keep(_ channel: any Channel) -> Bool {
        let isKept = state.withLock { state in
            guard !state.isClosed, state.channels.count < 2048 else { return false }
            state.channels[ObjectIdentifier(channel)] = channel
            return true
        }
        if isKept { channel.closeFuture.whenComplete { _ in self.state.withLock { $0.channels[ObjectIdentifier(channel)] = nil } } }
        return isKept
    }

    /// One of few connections for questions.
    private func keepStream(_ channel: any Channel) -> Bool {
        let isKept = state.withLock { state in
            guard state.streams < 16 else { return false }
            state.streams += 1
            return true
        }
        guard isKept else { return false }
        channel.closeFuture.whenComplete { _ in self.state.withLock { $0.streams -= 1 } }
        return keep(channel)
    }

    private func keepOrClose(_ channel: any Channel) { if !keep(channel) { channel.close(promise: nil) } }

    /// Ends the resolver, all listeners and all connections.
    public func close() {
        let channels = state.withLock { state in
            state.isClosed = true
            return state.channels.values
        }
        for channel in channels { channel.close(promise: nil) }
    }
}

/// A name and port that was dialled.
struct EgressTarget: Hashable, Sendable, CustomStringConvertible {
    let name: String
    let port: UInt16
    var description: String { "\(name):\(port)" }
    /// No name ends in a number.
    var isAddress: Bool { IPAddress(name) != nil }

    /// What a request's Host may be (RFC 9110 §7.2), the usual one first.
    var authorities: [String] { port == 80 || port == 443 ? [name, description] : [description, name] }
}

extension InnerRange {
    /// Nil for a name.
    init?(_ host: AllowedHost) {
        guard let range = host.range, !range.address.isV6 else { return nil }
        self.init(address: range.address.bytes.reduce(0) { $0 << 8 | UInt32($1) }, bits: UInt8(range.bits), port: host.port)
    }
}

extension InnerListener {
    /// Which name's address this is, inside a sandbox; nil for another.
    static func index(of address: IPAddress) -> UInt16? {
        guard !address.isV6, address.bytes[0] == 127, address.bytes[1] == 66 else { return nil }
        return UInt16(address.bytes[2]) << 8 | UInt16(address.bytes[3])
    }
}
