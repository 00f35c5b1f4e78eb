import Glibc
import Synchronization

/// Lets the process end only while no thread is inside a PKCS#11 library.
///
/// Their destructors run at `exit`, whatever their threads do: SoftHSM 2.6 then crashes, or waits for ever for a lock that nobody gives back.
enum ExitGate {
    private struct State {
        var inside = 0
        var isEnding = false
        var libraries: Set<String> = []
    }

    private static let state = Mutex(State())

    /// Runs what may call a library. Does not return when the process ends.
    static func pass(_ body: () -> Void) {
        let isEnding = state.withLock { state in
            if !state.isEnding { state.inside += 1 }
            return state.isEnding
        }
        while isEnding { pause() }
        body()
        state.withLock { $0.inside -= 1 }
    }

    /// To be called when a library has been initialized, which registers what runs at `exit` (OpenSSL's end, for one): what is registered
    /// last runs first, and that must be the gate. An end during the very first initialization is not guarded.
    static func register(_ library: String) {
        let isNew = state.withLock { $0.libraries.insert(library).inserted }
        if isNew { atexit(endOfProcess) }
    }

    fileprivate static func close() {
        state.withLock { $0.isEnding = true }
        for _ in 0..<500 where state.withLock({ $0.inside > 0 }) { usleep(10_000) }
    }
}

/// Waits for a call under way, 5 s at most: an HSM that hangs does not keep the process.
private func endOfProcess() { ExitGate.close() }
