/// The decisions on one revision's instances, without a socket: events in, actions out.
struct InstanceSetState<Instance, Waiter> {
    struct Actions {
        var run: [(Waiter, Instance)] = []
        var refuse: [Waiter] = []
        var end: [Instance] = []
        var start = 0
    }

    let most: Int
    let mostWaiting: Int
    /// The instance used last is used next, so that those not needed grow idle.
    private(set) var idle: [Instance] = []
    private(set) var busy = 0
    private(set) var starting = 0
    private(set) var waiters: [Waiter] = []
    private(set) var isRetired = false

    init(most: Int, mostWaiting: Int = 256) {
        self.most = most
        self.mostWaiting = mostWaiting
    }

    /// Nothing lives or waits any more.
    var isEmpty: Bool { idle.isEmpty && busy == 0 && starting == 0 && waiters.isEmpty }

    mutating func callArrived(_ waiter: Waiter) -> Actions {
        if let instance = idle.popLast() {
            busy += 1
            return Actions(run: [(waiter, instance)])
        }
        guard waiters.count < mostWaiting else { return Actions(refuse: [waiter]) }
        waiters.append(waiter)
        return startMore()
    }

    mutating func started(_ instance: Instance) -> Actions {
        starting -= 1
        return freed(instance)
    }

    /// A start failed: one waiter hears why; others may still be served.
    mutating func startFailed() -> Actions {
        starting -= 1
        guard !waiters.isEmpty else { return Actions() }
        var actions = Actions(refuse: [waiters.removeFirst()])
        actions.start = startMore().start
        return actions
    }

    mutating func finished(_ instance: Instance) -> Actions {
        busy -= 1
        return freed(instance)
    }

    /// A busy instance is gone; its call was answered by whoever saw it go.
    mutating func lostBusy() -> Actions {
        busy -= 1
        return startMore()
    }

    mutating func lostIdle(where isLost: (Instance) -> Bool) { idle.removeAll(where: isLost) }

    /// Removes the waiters that `hasExpired`.
    mutating func expireWaiters(where hasExpired: (Waiter) -> Bool) -> [Waiter] {
        guard !waiters.isEmpty else { return [] }
        let expired = waiters.filter(hasExpired)
        if !expired.isEmpty { waiters.removeAll(where: hasExpired) }
        return expired
    }

    /// Takes out idle instances that `isStale`.
    mutating func takeIdle(where isStale: (Instance) -> Bool) -> [Instance] {
        let stale = idle.filter(isStale)
        if !stale.isEmpty { idle.removeAll(where: isStale) }
        return stale
    }

    /// A newer generation serves now: idle instances end at once, busy ones after their call, starting ones when they are up.
    mutating func retire() -> Actions {
        isRetired = true
        defer { idle = [] }
        return Actions(end: idle)
    }

    private mutating func freed(_ instance: Instance) -> Actions {
        if !waiters.isEmpty {
            busy += 1
            return Actions(run: [(waiters.removeFirst(), instance)])
        }
        if isRetired { return Actions(end: [instance]) }
        idle.append(instance)
        return Actions()
    }

    private mutating func startMore() -> Actions {
        let missing = min(waiters.count - starting, most - starting - busy - idle.count)
        guard missing > 0 else { return Actions() }
        starting += missing
        return Actions(start: missing)
    }
}
