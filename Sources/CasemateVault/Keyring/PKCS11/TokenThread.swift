import Glibc
import Synchronization

/// Runs an actor's work on one thread of its own.
///
/// A call to an HSM takes milliseconds and may hang; it must not hold a thread of Swift's own pool. It ends with `stop()`.
final class TokenThread: SerialExecutor {
    private struct State {
        var jobs: [UnownedJob] = []
        var isStopped = false
    }

    private let state = Mutex(State())
    /// Counts what was put into `state` since the thread looked.
    private nonisolated(unsafe) let bell: UnsafeMutablePointer<sem_t>

    init() {
        bell = .allocate(capacity: 1)
        sem_init(bell, 0, 0)
        var thread = pthread_t()
        let started = pthread_create(&thread, nil, tokenThread, Unmanaged.passRetained(self).toOpaque())
        precondition(started == 0, "no thread for the token")
        pthread_detach(thread)
    }

    deinit {
        sem_destroy(bell)
        bell.deallocate()
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { $0.jobs.append(job) }
        sem_post(bell)
    }

    /// Ends the thread after what it was given.
    func stop() {
        state.withLock { $0.isStopped = true }
        sem_post(bell)
    }

    fileprivate func run() {
        while true {
            while sem_wait(bell) != 0 {}
            let (jobs, isStopped) = state.withLock { state in
                defer { state.jobs = [] }
                return (state.jobs, state.isStopped)
            }
            for job in jobs { ExitGate.pass { job.runSynchronously(on: asUnownedSerialExecutor()) } }
            if isStopped, jobs.isEmpty { return }
            // What came with the last jobs has rung before; one more ring lets the loop see that nothing is left.
            if isStopped { sem_post(bell) }
        }
    }
}

/// A top-level function: a closure literal given to C from isolated code would trap on a foreign thread.
private func tokenThread(_ box: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let box else { return nil }
    Unmanaged<TokenThread>.fromOpaque(box).takeRetainedValue().run()
    return nil
}
