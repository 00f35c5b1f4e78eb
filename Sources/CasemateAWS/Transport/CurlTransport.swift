import Dispatch
import Glibc
import Synchronization

/// Sends requests over a few threads of its own, each with a libcurl handle that keeps its connections open.
///
/// The handles block, so that four slow answers hold four threads and no more; what comes meanwhile waits, and is told no at its
/// deadline. Threads are started when they are first needed, and end with the transport.
public final class CurlTransport: Sendable {
    public struct Settings: Sendable {
        /// For name, connection and TLS.
        public var connectTimeout = Duration.seconds(3)
        /// A PEM file with the authorities to trust, in place of the system's.
        public var authorities: String?
        /// As libcurl takes it: `http://HOST:PORT`. For https alone; the environment's `https_proxy` and the like are not read.
        public var proxy: String?
        /// More are refused.
        public var mostWaiting = 256

        public init() {}
    }

    /// How many threads there are at most.
    static let width = 4

    private let queue: TransferQueue

    public init(_ settings: Settings = Settings()) { queue = TransferQueue(settings: settings) }

    deinit { queue.close() }

    /// - Throws: `TransportFailure`, or `CancellationError` at once when the task is cancelled; the transfer then ends within a second.
    func send(_ request: SignedRequest, _ credentials: AWSCredentials, by deadline: ContinuousClock.Instant) async throws -> Answer {
        let transfer = Transfer(request, credentials, deadline: deadline)
        return try await withThrowingTaskGroup(of: Answer.self) { group in
            group.addTask { try await transfer.answer(from: self.queue) }
            // libcurl keeps the deadline too, but not while a transfer waits, or for all that happens in a name's look-up.
            group.addTask {
                try await Task.sleep(until: deadline, clock: .continuous)
                // Waiting for a thread says nothing of the service.
                throw transfer.hasStarted ? TransportFailure.timedOut : .waitedInVain
            }
            defer { group.cancelAll() }
            guard let answer = try await group.next() else { throw TransportFailure.timedOut }
            return answer
        }
    }
}
