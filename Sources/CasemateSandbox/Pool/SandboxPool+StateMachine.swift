/// The decisions of the pool of pre-warmed sandboxes, without a socket: events in, actions out.
///
/// A sandbox is given once and never comes back.
struct SandboxPoolState<Sandbox, Waiter> {
    /// What to do now. `start` sandboxes are to be made; they are counted as starting already.
    struct Actions {
        var give: [(Waiter, Sandbox)] = []
        var refuse: [Waiter] = []
        /// More than are wanted now.
        var end: [Sandbox] = []
        var start = 0
        /// `refillNow` is due in a moment.
        var refillsLater = false
    }

    /// The target never leaves these.
    let least: Int
    let most: Int
    /// How many shall be ready or on their way: what was asked for lately.
    private(set) var target: Int
    /// Taken since the last look, and what is remembered of the looks before.
    private var taken = 0
    private var demand = 0
    /// More than this many are never started at once: a storm is served by turns.
    let mostStarting: Int
    let mostWaiting: Int
    private(set) var ready: [Sandbox] = []
    private(set) var starting = 0
    private(set) var waiters: [Waiter] = []
    private(set) var isConnected = false

    /// - Parameter most: bounds the target; by default it stays as it is.
    init(target: Int, most: Int? = nil, mostStarting: Int = 8, mostWaiting: Int = 1000) {
        self.target = target
        least = target
        self.most = max(target, most ?? target)
        self.mostStarting = mostStarting
        self.mostWaiting = mostWaiting
    }

    mutating func wardenConnected() -> Actions {
        isConnected = true
        return refill()
    }

    /// Every sandbox is gone; who waits is told, for there may be no warden for long.
    mutating func wardenDisconnected() -> (lost: [Sandbox], actions: Actions) {
        isConnected = false
        defer {
            ready = []
            starting = 0
            waiters = []
        }
        return (ready, Actions(refuse: waiters))
    }

    mutating func wanted(by waiter: Waiter) -> Actions {
        guard isConnected, waiters.count < mostWaiting else { return Actions(refuse: [waiter]) }
        taken += 1
        // A burst raises the target at once, a lull lowers it look by look.
        if ready.isEmpty { target = min(most, max(target, taken)) }
        if let sandbox = ready.popLast() {
            // While others are ready, the next is made when this one has begun its call: an interpreter's start takes a core.
            var actions = ready.isEmpty ? refill() : Actions(refillsLater: true)
            actions.give = [(waiter, sandbox)]
            return actions
        }
        waiters.append(waiter)
        return refill()
    }

    mutating func becameReady(_ sandbox: Sandbox) -> Actions {
        guard isConnected else { return Actions() }
        starting = max(0, starting - 1)
        if waiters.isEmpty {
            ready.append(sandbox)
            return refill()
        }
        let waiter = waiters.removeFirst()
        var actions = refill()
        actions.give = [(waiter, sandbox)]
        return actions
    }

    /// A start failed: the one who has waited longest is told, so that a host that can start none answers instead of waiting for ever.
    mutating func startFailed() -> Actions {
        guard isConnected else { return Actions() }
        starting = max(0, starting - 1)
        guard !waiters.isEmpty else { return Actions() }
        return Actions(refuse: [waiters.removeFirst()])
    }

    /// A ready one died by itself.
    mutating func lost(where isLost: (Sandbox) -> Bool) -> Actions {
        ready.removeAll(where: isLost)
        return refill()
    }

    /// Looks at the demand, every few seconds.
    mutating func look() -> Actions {
        demand = max(taken, demand * 3 / 4)
        taken = 0
        target = min(most, max(least, demand))
        var actions = refill()
        // The target falls slowly, so that what is above it is not soon wanted again.
        let surplus = max(0, ready.count - target)
        actions.end = Array(ready.prefix(surplus))
        ready.removeFirst(surplus)
        return actions
    }

    mutating func refillNow() -> Actions { refill() }

    private mutating func refill() -> Actions {
        guard isConnected else { return Actions() }
        let missing = target + waiters.count - ready.count - starting
        let count = max(0, min(missing, mostStarting - starting))
        starting += count
        return Actions(start: count)
    }
}
