import CasemateModel
import CasemateSandbox
import NIOCore

/// Instances that were heavy to load are not ended when nobody calls, but frozen: they use no CPU, and answer again in under a millisecond.
///
/// The frozen ones of all functions share a memory budget; those used least recently go first.
extension FunctionInstances {
    private static let idleBeforeFreezing = TimeAmount.seconds(5)
    /// Below this, starting anew is about as quick, and costs no memory.
    private static let heavyLoad = TimeAmount.milliseconds(25)

    /// Handlers that take longer to load are loaded when they are deployed, and one more while others work.
    static let heavyLoadInMilliseconds = 150

    /// Loads one more than have calls, of what is heavy to load: it is frozen when it is not needed.
    func keepSpare(_ now: NIODeadline) {
        guard mayFreeze, (function.loadInMilliseconds ?? 0) >= Self.heavyLoadInMilliseconds, now >= noSpareBefore else { return }
        carryOut(state.keepSpare())
    }

    /// What can't be loaded, or had to go for want of memory, is not tried again at once.
    func pauseSpares() { noSpareBefore = .now() + .seconds(60) }

    private var mayFreeze: Bool { services.frozen.isEnabled && !state.isRetired && state.least == 0 }

    /// Ends or freezes what nobody has called for a while.
    func putAwayIdle(_ now: NIODeadline) {
        guard !state.idle.isEmpty else { return }
        let limit = TimeAmount.milliseconds(Int64(spec.scale.idleInMilliseconds))
        let mayFreeze = self.mayFreeze
        let stale = state.takeIdle { now - $0.idleSince > limit && !(mayFreeze && $0.loadTime >= Self.heavyLoad) }
        for instance in stale { destroy(instance.sandbox) }
        guard mayFreeze else { return }
        for instance in state.idle
        where instance.loadTime >= Self.heavyLoad && now - instance.idleSince > min(limit, Self.idleBeforeFreezing) {
            freeze(instance)
        }
    }

    private func freeze(_ instance: Instance) {
        guard state.freeze(instance) else { return }
        pool.freeze(instance.sandbox.id) { [self] bytes in
            // It may have been called, or ended, meanwhile.
            guard state.frozen.contains(instance) else { return }
            guard let bytes else { return evict(instance) }
            services.frozen.admit(instance, bytes: bytes) { [weak self] in self?.evict(instance) }
        }
    }

    private func evict(_ instance: Instance) {
        guard state.frozen.contains(instance) else { return }
        pauseSpares()
        carryOut(state.lost(instance, running: 0))
        destroy(instance.sandbox)
    }

    func thaw(_ instance: Instance) {
        services.frozen.remove(instance)
        let begin = NIODeadline.now()
        pool.thaw(instance.sandbox.id) { [self] isThawed in
            guard isThawed, instance.sandbox.isOpen else {
                destroy(instance.sandbox)
                return carryOut(state.thawFailed())
            }
            services.recorder.metrics.thawed(after: .now() - begin)
            instance.idleSince = .now()
            instance.start = nil
            carryOut(state.thawed(instance))
        }
    }
}

/// The frozen instances of all functions. Lives on the gateway's event loop.
package final class FrozenInstances {
    private var budget: FrozenBudget<ObjectIdentifier>
    private var evictions: [ObjectIdentifier: () -> Void] = [:]

    /// - Parameter limit: in bytes; 0 freezes nothing.
    package init(limit: Int) { budget = FrozenBudget(limit: limit) }

    var isEnabled: Bool { budget.limit > 0 }
    var count: Int { budget.count }
    var bytes: Int { budget.used }

    func admit(_ instance: Instance, bytes: Int, evict: @escaping () -> Void) {
        let key = ObjectIdentifier(instance)
        evictions[key] = evict
        for evicted in budget.admit(key, bytes: bytes) { evictions.removeValue(forKey: evicted)?() }
    }

    func remove(_ instance: Instance) {
        let key = ObjectIdentifier(instance)
        budget.remove(key)
        evictions[key] = nil
    }
}
