import CAres
import CLinux
import CasemateLinux
import CasemateModel
import Glibc
import NIOCore
import Synchronization

/// Resolves the real names that functions may reach, with the server's resolvers (RFC 1035, by c-ares), on a thread of its own.
///
/// An answer is kept for as long as its records live, an answer with a TTL of 0 not at all. Who asks for a name that is being asked for
/// waits for the same answer.
public final class UpstreamResolver: Sendable {
    public enum Failure: Error, Sendable {
        /// The name does not exist, or has no address.
        case noAddress
        /// No resolver answered, or what it answered is no answer.
        case noAnswer
    }

    typealias Completion = @Sendable (Result<[IPAddress], Failure>) -> Void

    private struct State {
        var answers: [String: (addresses: [IPAddress], until: NIODeadline)] = [:]
        var asking: [String: [Completion]] = [:]
        /// For the thread to begin with.
        var queue: [String] = []
        var isClosed = false
    }

    private static let mostAnswers = 10_000
    private static let mostAsking = 16_384
    private static let mostAddresses = 64
    private static let longestLife = 86_400

    private let state = Mutex(State())
    private let wake: Descriptor
    private let channel: AresChannel

    /// - Parameter servers: `HOST:PORT` each; none for those of the host, which then also reads its hosts file.
    public init(servers: [String]) throws {
        wake = Descriptor(try check(cl_eventfd(), "making an event"))
        channel = try AresChannel(servers: servers)
        var thread = pthread_t()
        pthread_create(&thread, nil, resolverThread, Unmanaged.passRetained(self).toOpaque())
        pthread_detach(thread)
    }

    public func close() {
        state.withLock { $0.isClosed = true }
        ring()
    }

    /// Answers once, on any thread; at least one address.
    func resolve(_ name: String, _ done: @escaping Completion) {
        enum Next {
            case answer([IPAddress])
            case refuse
            case wait(isNew: Bool)
        }
        let next: Next = state.withLock { state in
            if let known = state.answers[name], known.until > .now() { return .answer(known.addresses) }
            if state.asking[name] != nil {
                state.asking[name]?.append(done)
                return .wait(isNew: false)
            }
            guard !state.isClosed, state.asking.count < Self.mostAsking else { return .refuse }
            state.asking[name] = [done]
            state.queue.append(name)
            return .wait(isNew: true)
        }
        switch next {
        case .answer(let addresses): done(.success(addresses))
        case .refuse: done(.failure(.noAnswer))
        case .wait(let isNew): if isNew { ring() }
        }
    }

    private func ring() {
        var one: UInt64 = 1
        _ = write(wake.raw, &one, 8)
    }

    // MARK: The thread

    fileprivate func run() {
        while true {
            let (names, isClosed) = state.withLock { state in
                defer { state.queue = [] }
                return (state.queue, state.isClosed)
            }
            if isClosed { break }
            for name in names { channel.ask(name) { [self] in answered(name, $0) } }
            channel.wait(orFor: wake.raw)
        }
        channel.cancel()
        let left = state.withLock { state in
            defer { state.asking = [:] }
            return state.asking.values.flatMap(\.self)
        }
        for done in left { done(.failure(.noAnswer)) }
    }

    private func answered(_ name: String, _ result: Result<AresChannel.Answer, Failure>) {
        // All of an answer is looked at before any of it is used, so that none of it may be left out.
        let result = result.flatMap { $0.addresses.count <= Self.mostAddresses ? .success($0) : .failure(.noAnswer) }
        let waiting = state.withLock { state in
            if case .success(let answer) = result, answer.seconds > 0 {
                if state.answers.count >= Self.mostAnswers {
                    let now = NIODeadline.now()
                    state.answers = state.answers.filter { $0.value.until > now }
                    if state.answers.count >= Self.mostAnswers { state.answers = [:] }
                }
                let life = min(answer.seconds, Self.longestLife)
                state.answers[name] = (answer.addresses, .now() + .seconds(Int64(life)))
            }
            return state.asking.removeValue(forKey: name) ?? []
        }
        let addresses = result.map(\.addresses)
        for done in waiting { done(addresses) }
    }
}

private func resolverThread(_ box: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let box else { return nil }
    Unmanaged<UpstreamResolver>.fromOpaque(box).takeRetainedValue().run()
    return nil
}
