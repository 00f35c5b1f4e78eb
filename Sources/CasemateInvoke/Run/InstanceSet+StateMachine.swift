/// The decisions on one revision's instances, without a socket: events in, actions out.
///
/// An instance that is up has `concurrency` slots. A frozen one has none until it is thawed.
struct InstanceSetState<Instance: Equatable, Waiter> {
    struct Actions {
        var run: [(Waiter, Instance)] = []
        var refuse: [Waiter] = []
        var end: [Instance] = []
        var thaw: [Instance] = []
        var start = 0
    }

    let most: Int
    /// This many are kept up, whether they are called or not.
    let least: Int
    let concurrency: Int
    let mostWaiting: Int
    /// Free slots. The one used last is used next, so that instances not needed grow idle.
    private(set) var idle: [Instance] = []
    private(set) var frozen: [Instance] = []
    /// Calls that run.
    private(set) var busy = 0
    /// Instances that are up, frozen ones and those being thawed among them.
    private(set) var live = 0
    private(set) var starting = 0
    private(set) var thawing = 0
    private(set) var waiters: [Waiter] = []
    private(set) var isRetired = false

    init(most: Int, least: Int = 0, concurrency: Int = 1, mostWaiting: Int = 256) {
        self.most = most
        self.least = least
        self.concurrency = concurrency
        self.mostWaiting = mostWaiting
    }

    /// Nothing lives or waits any more.
    var isEmpty: Bool { live == 0 && starting == 0 && waiters.isEmpty }

    mutating func callArrived(_ waiter: Waiter) -> Actions {
        if let instance = idle.popLast() {
            busy += 1
            return Actions(run: [(waiter, instance)])
        }
        guard waiters.count < mostWaiting else { return Actions(refuse: [waiter]) }
        waiters.append(waiter)
        return wake()
    }

    mutating func started(_ instance: Instance) -> Actions {
        starting -= 1
        live += 1
        return joined(instance)
    }

    /// A start failed: one waiter hears why; others may still be served.
    mutating func startFailed() -> Actions {
        starting -= 1
        guard !waiters.isEmpty else { return Actions() }
        let first = waiters.removeFirst()
        var actions = wake()
        actions.refuse = [first]
        return actions
    }

    mutating func finished(_ instance: Instance) -> Actions {
        busy -= 1
        return freed(instance)
    }

    /// A call has ended on an instance that takes no more.
    mutating func finishedLast() { busy -= 1 }

    /// An instance is gone, and `running` calls with it; they were answered by whoever saw it go.
    mutating func lost(_ instance: Instance, running: Int = 1) -> Actions {
        idle.removeAll { $0 == instance }
        frozen.removeAll { $0 == instance }
        busy -= running
        live -= 1
        return wake()
    }

    /// It takes no more calls; those that run go on.
    mutating func drain(_ instance: Instance) { idle.removeAll { $0 == instance } }

    /// Removes the waiters that `hasExpired`.
    mutating func expireWaiters(where hasExpired: (Waiter) -> Bool) -> [Waiter] {
        guard !waiters.isEmpty else { return [] }
        let expired = waiters.filter(hasExpired)
        if !expired.isEmpty { waiters.removeAll(where: hasExpired) }
        return expired
    }

    /// Takes out instances without a call that are `isStale`, but for the least that stay.
    mutating func takeIdle(where isStale: (Instance) -> Bool) -> [Instance] {
        let spare = live - (isRetired ? 0 : least)
        guard spare > 0, !idle.isEmpty else { return [] }
        let stale = wholly(isStale).prefix(spare)
        guard !stale.isEmpty else { return [] }
        idle.removeAll { stale.contains($0) }
        live -= stale.count
        return Array(stale)
    }

    /// Takes out all instances without a call, frozen ones too.
    mutating func takeAll() -> [Instance] {
        let all = wholly { _ in true } + frozen
        idle.removeAll { all.contains($0) }
        frozen = []
        live -= all.count
        return all
    }

    // MARK: Frozen ones

    /// Takes one without a call out of the slots; it waits frozen. False when it has a call.
    mutating func freeze(_ instance: Instance) -> Bool {
        guard wholly({ $0 == instance }).count == 1 else { return false }
        idle.removeAll { $0 == instance }
        frozen.append(instance)
        return true
    }

    mutating func thawed(_ instance: Instance) -> Actions {
        thawing -= 1
        return joined(instance)
    }

    /// One that could not be thawed is gone.
    mutating func thawFailed() -> Actions {
        thawing -= 1
        live -= 1
        return wake()
    }

    // MARK: Without a call

    /// What is missing to the least.
    mutating func keepLeast() -> Actions {
        guard !isRetired else { return Actions() }
        let missing = least - live - starting
        guard missing > 0 else { return Actions() }
        starting += missing
        return Actions(start: missing)
    }

    /// One instance before the first call, if there is none.
    mutating func prepare() -> Actions {
        guard !isRetired, live == 0, starting == 0 else { return Actions() }
        starting = 1
        return Actions(start: 1)
    }

    /// One more while all have calls, for the next of a burst: what is heavy to load is not begun when somebody waits for it.
    mutating func keepSpare() -> Actions {
        guard !isRetired, busy > 0, idle.isEmpty, frozen.isEmpty, waiters.isEmpty, starting == 0, thawing == 0, live < most else {
            return Actions()
        }
        starting = 1
        return Actions(start: 1)
    }

    /// A newer generation serves now: instances without a call end at once, busy ones after their calls, starting ones when they are up.
    mutating func retire() -> Actions {
        isRetired = true
        return Actions(end: takeAll())
    }

    /// Whether it is up and has no call.
    func isKnown(_ instance: Instance) -> Bool { idle.contains(instance) || frozen.contains(instance) }

    /// Instances all of whose slots are free.
    private func wholly(_ isMeant: (Instance) -> Bool) -> [Instance] {
        if concurrency == 1 { return idle.filter(isMeant) }
        var seen: [Instance] = []
        for instance in idle where !seen.contains(instance) && isMeant(instance) { seen.append(instance) }
        return seen.filter { instance in idle.count { $0 == instance } == concurrency }
    }

    /// All slots of an instance become free.
    private mutating func joined(_ instance: Instance) -> Actions {
        var actions = Actions()
        for _ in 0..<concurrency {
            let more = freed(instance)
            actions.run += more.run
            actions.end += more.end
        }
        return actions
    }

    private mutating func freed(_ instance: Instance) -> Actions {
        if !waiters.isEmpty {
            busy += 1
            return Actions(run: [(waiters.removeFirst(), instance)])
        }
        idle.append(instance)
        guard isRetired, !wholly({ $0 == instance }).isEmpty else { return Actions() }
        idle.removeAll { $0 == instance }
        live -= 1
        return Actions(end: [instance])
    }

    /// As many as the waiters need: frozen ones first, then new ones.
    private mutating func wake() -> Actions {
        var actions = Actions()
        var needed = (waiters.count + concurrency - 1) / concurrency - starting - thawing
        while needed > 0, let instance = frozen.popLast() {
            thawing += 1
            needed -= 1
            actions.thaw.append(instance)
        }
        let missing = min(needed, most - live - starting)
        if missing > 0 {
            starting += missing
            actions.start = missing
        }
        return actions
    }
}
