import CCurl
import Dispatch
import Glibc
import Synchronization

/// The transfers that wait, and the threads that take them in turn. Kept alive by the threads until it is closed and empty.
final class TransferQueue: Sendable {
    private struct State {
        var waiting: [Transfer] = []
        var threads = 0
        /// Of the threads, those with a transfer.
        var busy = 0
        var isClosed = false
    }

    private let settings: CurlTransport.Settings
    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)

    init(settings: CurlTransport.Settings) { self.settings = settings }

    func add(_ transfer: Transfer) {
        let (isFull, startsThread) = state.withLock { state -> (Bool, Bool) in
            // What a thread is about to take doesn't count.
            let room = settings.mostWaiting + CurlTransport.width - state.busy
            if state.waiting.count >= room { state.waiting.removeAll { $0.hasEnded } }
            guard state.waiting.count < room else { return (true, false) }
            state.waiting.append(transfer)
            guard state.waiting.count > state.threads - state.busy, state.threads < CurlTransport.width else { return (false, false) }
            state.threads += 1
            return (false, true)
        }
        if isFull {
            transfer.end(.failure(TransportFailure.overloaded("too many requests wait already")))
            return
        }
        if startsThread { startThread() }
        wake.signal()
    }

    func close() {
        let threads = state.withLock { state in
            state.isClosed = true
            return state.threads
        }
        for _ in 0..<threads { wake.signal() }
    }

    private func startThread() {
        var thread = pthread_t()
        let failed = pthread_create(&thread, nil, transferThread, Unmanaged.passRetained(self).toOpaque())
        guard failed != 0 else {
            pthread_detach(thread)
            return
        }
        Unmanaged.passUnretained(self).release()
        let stranded = state.withLock { state -> [Transfer] in
            state.threads -= 1
            guard state.threads == 0 else { return [] }
            defer { state.waiting = [] }
            return state.waiting
        }
        for transfer in stranded { transfer.end(.failure(TransportFailure.overloaded("no thread can be started"))) }
    }

    /// Until the queue is closed and empty.
    fileprivate func work() {
        let handle = CurlHandle(settings: settings)
        while !state.withLock({ $0.isClosed && $0.waiting.isEmpty }) {
            wake.wait()
            let next = state.withLock { state -> Transfer? in
                guard !state.waiting.isEmpty else { return nil }
                state.busy += 1
                return state.waiting.removeFirst()
            }
            guard let next else { continue }
            let result = next.hasEnded ? nil : handle?.perform(next) ?? .failure(.overloaded("libcurl gives no handle"))
            // Before the caller goes on, or the next request could find no thread free and start one.
            state.withLock { $0.busy -= 1 }
            if let result { next.end(result.mapError { $0 }) }
        }
    }
}

private func transferThread(_ box: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let box else { return nil }
    // With CURLOPT_NOSIGNAL libcurl leaves SIGPIPE alone, and OpenSSL writes without MSG_NOSIGNAL. Blocked in the thread that writes,
    // it comes to nothing and the write fails.
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    cc_name_thread("casemate-aws")
    Unmanaged<TransferQueue>.fromOpaque(box).takeRetainedValue().work()
    return nil
}
