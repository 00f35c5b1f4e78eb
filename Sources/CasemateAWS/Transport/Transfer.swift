import Synchronization

/// One request on its way. Whoever ends it first decides: the thread with an answer, or the caller who goes away.
final class Transfer: Sendable {
    private enum State {
        case new
        case waiting(CheckedContinuation<Answer, any Error>)
        case ended(Result<Answer, any Error>)
    }

    let request: SignedRequest
    let credentials: AWSCredentials
    let deadline: ContinuousClock.Instant
    private let state = Mutex(State.new)
    private let started = Atomic(false)

    init(_ request: SignedRequest, _ credentials: AWSCredentials, deadline: ContinuousClock.Instant) {
        self.request = request
        self.credentials = credentials
        self.deadline = deadline
    }

    func answer(from queue: TransferQueue) async throws -> Answer {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let ended = state.withLock { state -> Result<Answer, any Error>? in
                    if case .ended(let result) = state { return result }
                    state = .waiting(continuation)
                    return nil
                }
                if let ended { continuation.resume(with: ended) } else { queue.add(self) }
            }
        } onCancel: {
            end(.failure(CancellationError()))
        }
    }

    /// Does nothing when it has ended.
    func end(_ result: Result<Answer, any Error>) {
        let waiting = state.withLock { state -> CheckedContinuation<Answer, any Error>? in
            switch state {
            case .ended: return nil
            case .new:
                state = .ended(result)
                return nil
            case .waiting(let continuation):
                state = .ended(result)
                return continuation
            }
        }
        waiting?.resume(with: result)
    }

    /// Whether a thread took it while there was time.
    var hasStarted: Bool { started.load(ordering: .relaxed) }

    /// - Returns: the time left, or nil when it is too short for an answer, whose lack would be held against the service.
    func start() -> Duration? {
        let left = ContinuousClock.now.duration(to: deadline)
        guard left > .milliseconds(20) else { return nil }
        started.store(true, ordering: .relaxed)
        return left
    }

    var hasEnded: Bool {
        state.withLock { state in
            if case .ended = state { true } else { false }
        }
    }
}
