import CLinux
import CasemateLinux
import CasemateWire
import Glibc
import Synchronization

/// A sandbox that the warden made for us, with its ends of socket and pipes.
public struct SandboxHandle: Sendable {
    public let id: UInt32
    public let hostUID: UInt32
    public let control: Descriptor
    public let output: Descriptor
    public let error: Descriptor
}

/// Why an order was not carried out.
public enum WardenFailure: Error, Sendable, CustomStringConvertible {
    /// No warden answers; it may come back.
    case disconnected
    case refused(RefusalCode, String)
    /// It answered something that is no answer to this order.
    case unexpected

    public var description: String {
        switch self {
        case .disconnected: "the warden does not answer"
        case .refused(_, let detail): "the warden refused: \(detail)"
        case .unexpected: "the warden answered something unexpected"
        }
    }
}

/// The connection to the warden: orders go out from any thread, one thread of its own reads the replies.
///
/// When the connection breaks, every open order fails, every sandbox is gone, and the thread tries anew until it is closed.
public final class WardenClient: Sendable {
    public typealias Completion = @Sendable (Result<(Reply, [Descriptor]), WardenFailure>) -> Void

    /// What the warden says unasked. Called on the client's thread.
    public struct Events: Sendable {
        public var ended: @Sendable (_ sandbox: UInt32, _ reason: EndReason, _ status: Int32) -> Void
        public var connected: @Sendable () -> Void
        public var disconnected: @Sendable () -> Void
        /// Something in the sandbox tried a system call that no function has a use for, and was refused. `HostileCall.name` names it.
        public var attempted: @Sendable (_ sandbox: UInt32, _ call: UInt32) -> Void

        public init(
            ended: @Sendable @escaping (UInt32, EndReason, Int32) -> Void, connected: @Sendable @escaping () -> Void,
            disconnected: @Sendable @escaping () -> Void, attempted: @Sendable @escaping (UInt32, UInt32) -> Void = { _, _ in }
        ) {
            self.ended = ended
            self.connected = connected
            self.disconnected = disconnected
            self.attempted = attempted
        }
    }

    private struct State {
        var socket: Descriptor?
        var nextRequest: UInt32 = 1
        var open: [UInt32: Completion] = [:]
        /// Orders to end a sandbox that found the socket full: they must not be lost.
        var unsent: [[UInt8]] = []

        /// Until the socket is full again.
        mutating func sendUnsent() {
            guard let socket else { return }
            while let next = unsent.first, cl_send(socket.raw, next, next.count, nil, 0, 1) >= 0 { unsent.removeFirst() }
        }
        var isClosed = false
        var hasEnded = false
        var events: Events?
    }

    private let path: String
    private let state = Mutex(State())

    public init(path: String) { self.path = path }

    public var isConnected: Bool { state.withLock { $0.socket != nil } }

    /// Starts the thread; the first `connected` follows when the warden is there.
    public func start(_ events: Events) {
        state.withLock { $0.events = events }
        var thread = pthread_t()
        let box = Unmanaged.passRetained(self)
        pthread_create(&thread, nil, wardenClientThread, box.toOpaque())
        pthread_detach(thread)
    }

    /// Ends the connection, and so every sandbox of ours.
    public func close() {
        state.withLock { state in
            state.isClosed = true
            if let socket = state.socket { shutdown(socket.raw, Int32(SHUT_RDWR)) }
        }
    }

    /// Closes, and returns when the thread has said its last word (a second at most).
    public func closeAndWait() async {
        close()
        for _ in 0..<100 where !state.withLock({ $0.hasEnded }) { try? await Task.sleep(for: .milliseconds(10)) }
    }

    /// Sends an order; `done` is called once, on the client's thread or on this one.
    public func order(_ order: Order, _ done: @escaping Completion) {
        let sent: Bool = state.withLock { state in
            guard let socket = state.socket else { return false }
            let request = state.nextRequest
            state.nextRequest = state.nextRequest == .max ? 1 : state.nextRequest + 1
            let bytes = WardenMessage(request: request, payload: order).encoded()
            state.sendUnsent()
            // A packet is small and the warden reads all the time; a full socket means that it hangs.
            if cl_send(socket.raw, bytes, bytes.count, nil, 0, 1) < 0 {
                guard case .destroy = order else { return false }
                state.unsent.append(bytes)
            }
            state.open[request] = done
            return true
        }
        if !sent { done(.failure(.disconnected)) }
    }

    public func order(_ order: Order) async throws(WardenFailure) -> (Reply, [Descriptor]) {
        let result: Result<(Reply, [Descriptor]), WardenFailure> = await withCheckedContinuation { continuation in
            self.order(order) { continuation.resume(returning: $0) }
        }
        let (reply, descriptors) = try result.get()
        if case .refused(let code, let detail) = reply { throw .refused(code, detail) }
        return (reply, descriptors)
    }

    public func create(profile: String, purpose: SandboxPurpose, limits: SandboxLimits) async throws(WardenFailure) -> SandboxHandle {
        try Self.handle(try await order(.create(profile: profile, purpose: purpose, limits: limits)))
    }

    static func handle(_ answer: (Reply, [Descriptor])) throws(WardenFailure) -> SandboxHandle {
        switch answer.0 {
        case .created(let sandbox, let hostUID):
            guard answer.1.count == 3 else { throw .unexpected }
            return SandboxHandle(id: sandbox, hostUID: hostUID, control: answer.1[0], output: answer.1[1], error: answer.1[2])
        case .refused(let code, let detail): throw .refused(code, detail)
        default: throw .unexpected
        }
    }

    // MARK: The thread

    fileprivate func run() {
        while !state.withLock({ $0.isClosed }) {
            let fd = cl_seqpacket_connect(path)
            guard fd >= 0 else {
                usleep(100_000)
                continue
            }
            let socket = Descriptor(fd)
            defer { socket.staysOpen() }
            let events = state.withLock { state in
                state.socket = socket
                return state.events
            }
            events?.connected()
            receive(from: socket.raw, events)
            let failed = state.withLock { state in
                state.socket = nil
                state.unsent = []
                defer { state.open = [:] }
                return state.open.values
            }
            for done in failed { done(.failure(.disconnected)) }
            events?.disconnected()
        }
        state.withLock { $0.hasEnded = true }
    }

    private func receive(from fd: Int32, _ events: Events?) {
        var packet = [UInt8](repeating: 0, count: wardenMessageLimit + 1)
        var raw = [Int32](repeating: -1, count: maximumListenersPerOrder)
        while true {
            var count = raw.count
            let got = cl_receive(fd, &packet, packet.count, &raw, &count, 0)
            guard got > 0 else { return }
            state.withLock { if !$0.unsent.isEmpty { $0.sendUnsent() } }
            let descriptors = raw.prefix(count).map { Descriptor($0) }
            guard let message = try? WardenMessage<Reply>(decoding: Array(packet.prefix(Int(got)))) else { return }
            if message.request == 0 {
                switch message.payload {
                case .ended(let sandbox, let reason, let status): events?.ended(sandbox, reason, status)
                case .attempted(let sandbox, let call): events?.attempted(sandbox, call)
                default: break
                }
                continue
            }
            if let done = state.withLock({ $0.open.removeValue(forKey: message.request) }) {
                done(.success((message.payload, descriptors)))
            }
        }
    }
}

/// A top-level function: a closure literal given to C from isolated code would trap on a foreign thread.
private func wardenClientThread(_ box: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let box else { return nil }
    Unmanaged<WardenClient>.fromOpaque(box).takeRetainedValue().run()
    return nil
}
