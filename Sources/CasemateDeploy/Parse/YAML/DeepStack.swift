import Glibc

/// Runs `body` on a thread of its own with a stack of 32 MiB (of which only what is used is ever allocated) and waits for it.
/// nil when there can be no such thread.
func withDeepStack<Result>(_ body: () -> Result) -> Result? {
    var result: Result?
    withoutActuallyEscaping(body) { body in
        let job = Job { result = body() }
        var attributes = pthread_attr_t()
        guard pthread_attr_init(&attributes) == 0 else { return }
        defer { pthread_attr_destroy(&attributes) }
        guard pthread_attr_setstacksize(&attributes, 32 << 20) == 0 else { return }

        var thread = pthread_t()
        let started = pthread_create(
            &thread, &attributes,
            { job in
                Unmanaged<Job>.fromOpaque(job!).takeUnretainedValue().work()
                return nil
            }, Unmanaged.passUnretained(job).toOpaque())
        // `job`, and with it `body`, outlives the thread because of the join.
        if started == 0 { withExtendedLifetime(job) { _ = pthread_join(thread, nil) } }
    }
    return result
}

private final class Job {
    let work: () -> Void
    init(_ work: @escaping () -> Void) { self.work = work }
}
