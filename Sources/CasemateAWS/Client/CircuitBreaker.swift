/// Stops asking a service that fails: after three failures in a row for a second, then for twice as long after each trial that fails, 30 s
/// at most. When a pause is over, one request is the trial.
struct CircuitBreaker {
    /// Leave to ask once, to be given back with what came of it.
    struct Pass {
        fileprivate let epoch: Int
    }

    private enum State {
        case closed(failures: Int)
        case open(until: ContinuousClock.Instant, pause: Duration)
        case trying(pause: Duration)
    }

    static let mostFailures = 3
    static let firstPause = Duration.seconds(1)
    static let longestPause = Duration.seconds(30)

    private var state = State.closed(failures: 0)
    /// Counts openings and closings. What comes of a request that was sent before the last one says nothing any more.
    private var epoch = 0

    /// Nil while nobody may ask.
    mutating func pass(at now: ContinuousClock.Instant) -> Pass? {
        switch state {
        case .closed: return Pass(epoch: epoch)
        case .trying: return nil
        case .open(let until, let pause):
            guard now >= until else { return nil }
            change(to: .trying(pause: pause))
            return Pass(epoch: epoch)
        }
    }

    /// The service answered, if only to say no.
    mutating func succeeded(_ pass: Pass) {
        guard pass.epoch == epoch else { return }
        if case .closed = state { state = .closed(failures: 0) } else { change(to: .closed(failures: 0)) }
    }

    mutating func failed(_ pass: Pass, at now: ContinuousClock.Instant) {
        guard pass.epoch == epoch else { return }
        switch state {
        case .closed(let failures) where failures + 1 < Self.mostFailures: state = .closed(failures: failures + 1)
        case .closed: change(to: .open(until: now + Self.firstPause, pause: Self.firstPause))
        case .trying(let pause):
            let longer = min(pause * 2, Self.longestPause)
            change(to: .open(until: now + longer, pause: longer))
        case .open: break
        }
    }

    /// Whoever asked went away, so that nothing is known. The next one may try at once.
    mutating func abandoned(_ pass: Pass, at now: ContinuousClock.Instant) {
        guard pass.epoch == epoch, case .trying(let pause) = state else { return }
        change(to: .open(until: now, pause: pause))
    }

    private mutating func change(to next: State) {
        state = next
        epoch += 1
    }
}
