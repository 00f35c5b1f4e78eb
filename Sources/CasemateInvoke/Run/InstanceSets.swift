import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CasemateWire
import NIOCore

/// The instances of all functions: one set for each revision that runs, with its secrets opened. Lives on the gateway's one event loop.
final class InstanceSets {
    private let services: CallServices
    private let opener: SecretOpener
    private let catalog: Catalog
    private let pools: [String: SandboxPool]
    private var current: [RevisionId: (generation: UInt64, instances: FunctionInstances)] = [:]
    private var openings: [RevisionId: Opening] = [:]
    private var retired: [FunctionInstances] = []
    /// Values from elsewhere that are others now.
    private var replaced: [FunctionId: [ReplacedSecret]] = [:]
    /// Redaction with a caller's token, for the tokens seen lately.
    private var withToken: [TokenRedaction: CallRedactor] = [:]

    /// Secrets that are being opened, and who waits for them.
    private struct Opening {
        let generation: UInt64
        var waiters: [(Result<FunctionInstances, Problem>) -> Void]
    }

    private struct TokenRedaction: Hashable {
        var instances: ObjectIdentifier
        var token: [UInt8]
    }

    init(services: CallServices, catalog: Catalog, pools: [String: SandboxPool]) {
        self.services = services
        self.catalog = catalog
        self.pools = pools
        opener = SecretOpener(vault: services.vault, sources: services.sources, catalog: catalog)
    }

    // MARK: Those of a revision

    /// Those of the generation that was routed to, or of a newer one that is here already.
    func known(_ routed: Routing) -> FunctionInstances? {
        guard let known = current[routed.revision.id], known.generation >= routed.function.generation else { return nil }
        return known.instances
    }

    /// Opens the function's secrets and makes its instances' set; `done` hears once, at once where the key is at hand.
    func open(_ routed: Routing, _ done: @escaping (Result<FunctionInstances, Problem>) -> Void) {
        let function = routed.function
        if let known = known(routed) { return done(.success(known)) }
        let revision = routed.revision.id
        if let opening = openings[revision], opening.generation >= function.generation {
            openings[revision]?.waiters.append(done)
            return
        }
        guard pools[routed.spec.runtime] != nil else {
            return done(
                .failure(
                    Problem(
                        .unavailable, "runtime \(routed.spec.runtime) is not installed; casemate runtime install \(routed.spec.runtime)")))
        }
        do throws(SecretsUnavailable) {
            if let opened = try opener.openNow(routed, earlier: earlier(function.id)) { return done(.success(make(routed, opened))) }
        } catch {
            return done(.failure(unopened(function, error)))
        }
        // Whoever waits for an older generation waits for this one.
        let waiting = openings.removeValue(forKey: revision)?.waiters ?? []
        openings[revision] = Opening(generation: function.generation, waiters: waiting + [done])
        let promise = services.loop.makePromise(of: Result<OpenedFunction, SecretsUnavailable>.self)
        promise.completeWithTask { [opener, earlier = earlier(function.id)] in
            do throws(SecretsUnavailable) { return .success(try await opener.open(routed, earlier: earlier)) } catch {
                return .failure(error)
            }
        }
        promise.futureResult.assumeIsolated().whenSuccess { [self] result in
            guard openings[revision]?.generation == function.generation,
                let waiters = openings.removeValue(forKey: revision)?.waiters
            else { return }
            let found: Result<FunctionInstances, Problem> =
                switch result {
                case .success(let opened): .success(known(routed) ?? make(routed, opened))
                case .failure(let error): .failure(unopened(function, error))
                }
            for waiter in waiters { waiter(found) }
        }
    }

    private func make(_ routed: Routing, _ opened: OpenedFunction) -> FunctionInstances {
        let id = routed.function.id
        retire(id) { $0.revision.id == routed.revision.id || $0.function.generation < routed.function.generation }
        // Others may have come while it was being opened.
        let earlier = ReplacedSecret.bounded(opened.values.replaced + (replaced[id] ?? []))
        replaced[id] = earlier.isEmpty ? nil : earlier
        // Its runtime was looked for before.
        let made = FunctionInstances(routed, opened, services: services, pool: pools[routed.spec.runtime]!)
        current[routed.revision.id] = (routed.function.generation, made)
        return made
    }

    /// Values from elsewhere that the function's instances had.
    private func earlier(_ id: FunctionId) -> [ReplacedSecret] {
        ReplacedSecret.now(instances(of: id).flatMap(\.values.external)) + (replaced[id] ?? [])
    }

    /// One set for each revision that runs.
    private func instances(of id: FunctionId) -> [FunctionInstances] {
        current.values.lazy.map(\.instances).filter { $0.function.id == id }
    }

    private func unopened(_ function: Deployed, _ failure: SecretsUnavailable, whileItRuns: Bool = false) -> Problem {
        let what = whileItRuns ? "what runs goes on, but the function can't be started anew" : "the function can't start"
        services.write([.platform("\(what): \(failure.why)", at: .now)], function.id)
        services.audit.note(
            AuditEvent(
                .secretUnavailable, function.auditScope, outcome: .failed, actor: "function:\(function.id)",
                ["problem": failure.problem.code.slug, "detail": failure.why]))
        return failure.problem
    }

    /// Asks whether values that are kept elsewhere have changed; what runs goes on whatever the answer is.
    private func refresh(_ instances: FunctionInstances) {
        let function = instances.function
        guard let routing = Routing(function) else { return }
        instances.isRefreshing = true
        let promise = services.loop.makePromise(of: Result<OpenedFunction?, SecretsUnavailable>.self)
        promise.completeWithTask { [opener, values = instances.values] in
            do throws(SecretsUnavailable) { return .success(try await opener.reopen(routing, values)) } catch { return .failure(error) }
        }
        promise.futureResult.assumeIsolated().whenSuccess { [self] result in
            instances.refreshed(at: .now())
            guard current[instances.revision.id]?.instances === instances else { return }
            switch result {
            // Nobody was asked. Nothing starts while the vault is sealed, and once it is not, nothing is known to be wrong.
            case .failure(let failure) where failure.problem.code == .vaultSealed: instances.refreshSoon()
            case .failure(let failure):
                if instances.sourceProblem == nil { _ = unopened(function, failure, whileItRuns: !instances.isEmpty) }
                instances.sourceProblem = failure.problem
            case .success(let opened):
                instances.sourceProblem = nil
                if let opened { _ = make(routing, opened) }
            }
        }
    }

    func redactor(_ instances: FunctionInstances, token: [UInt8]?) -> CallRedactor {
        guard let token else { return instances.callRedactor }
        let key = TokenRedaction(instances: ObjectIdentifier(instances), token: token)
        if let known = withToken[key] { return known }
        if withToken.count > 256 { withToken.removeAll() }
        let base = instances.redactor
        let made = CallRedactor(base, tokenLength: token.count) { base.adding([.token(token)]) }
        withToken[key] = made
        return made
    }

    private func retire(_ id: FunctionId, where isOld: (FunctionInstances) -> Bool) {
        let all = instances(of: id).filter(isOld)
        guard !all.isEmpty else { return }
        // Whether they are others when the function starts again is not known yet.
        let earlier = ReplacedSecret.bounded(earlier(id))
        if !earlier.isEmpty { replaced[id] = earlier }
        for old in all {
            current[old.revision.id] = nil
            withToken = withToken.filter { $0.key.instances != ObjectIdentifier(old) }
            old.retire()
            if !old.isEmpty { retired.append(old) }
        }
    }

    // MARK: What happens besides calls

    /// A function was deployed, changed or deleted.
    func changed(_ id: FunctionId) {
        let function = catalog.function(id)
        retire(id) { $0.function.generation != function?.generation }
        if function == nil { replaced[id] = nil }
        guard let function, function.mayRun, let routing = Routing(function) else { return }
        // Before the first call: what is to be kept up, and what was heavy to load.
        if (routing.spec.scale.min ?? 0) > 0 { return keepUp(id) }
        if services.frozen.isEnabled, (function.loadInMilliseconds ?? 0) >= FunctionInstances.heavyLoadInMilliseconds {
            open(routing) { if case .success(let instances) = $0 { instances.prepare() } }
        }
    }

    private func keepUp(_ id: FunctionId) {
        guard let function = catalog.function(id), function.mayRun, let routing = Routing(function) else { return }
        open(routing) { _ in }
    }

    /// Calls that the instances of what was routed to have, or that wait for one.
    func load(of routing: Routing) -> Int {
        guard let instances = current[routing.revision.id]?.instances else { return 0 }
        return instances.state.busy + instances.state.waiters.count
    }

    /// As that, of all functions.
    var load: Int { (current.values.map(\.instances) + retired).reduce(0) { $0 + $1.state.busy + $1.state.waiters.count } }

    /// Ends a call wherever it is.
    func cancel(_ id: CallId) {
        for instances in current.values.map(\.instances) + retired where instances.cancel(id) { return }
    }

    func tick() {
        let now = NIODeadline.now()
        for entry in current.values {
            entry.instances.tick(now)
            if entry.instances.needsRefresh(now) { refresh(entry.instances) }
            // Values are in memory for as long as something runs with them, and a second.
            entry.instances.timesEmpty = entry.instances.isUnused ? entry.instances.timesEmpty + 1 : 0
            if entry.instances.timesEmpty > 8 { retire(entry.instances.function.id) { $0 === entry.instances } }
        }
        for (id, entries) in replaced where entries.allSatisfy({ $0.until <= now }) { replaced[id] = nil }
        for instances in retired { instances.tick(now) }
        retired.removeAll(where: \.isEmpty)
    }

    func sandboxEnded(_ id: UInt32, _ reason: EndReason) {
        for entry in current.values { entry.instances.report(id, reason) }
        for instances in retired { instances.report(id, reason) }
    }

    func wardenConnected() {
        for pool in pools.values { pool.wardenConnected() }
        for id in catalog.keptUp { keepUp(id) }
    }

    /// A function tried a system call that the sandbox does not allow.
    func sandboxAttempted(_ id: UInt32, _ call: String) {
        services.recorder.metrics.blocked(call)
        for entry in current.values where entry.instances.note(id, call) { return }
        for instances in retired where instances.note(id, call) { return }
    }

    /// For `GET /metrics`.
    var gauges: CallGauges {
        var gauges = CallGauges()
        gauges.pools = pools.values.map { pool in
            let counts = pool.counts
            return CallGauges.Pool(
                profile: pool.profile, ready: counts.ready, starting: counts.starting, waiting: counts.waiting, target: counts.target)
        }.sorted { $0.profile < $1.profile }
        for instances in current.values.map(\.instances) + retired {
            gauges.running += instances.state.busy
            gauges.waiting += instances.state.waiters.count
            gauges.instances += instances.state.live
            gauges.starting += instances.state.starting
        }
        gauges.frozen = services.frozen.count
        gauges.frozenBytes = services.frozen.bytes
        return gauges
    }

    func wardenDisconnected() {
        for pool in pools.values { pool.wardenDisconnected() }
        for entry in current.values { entry.instances.lostAll() }
        for instances in retired { instances.lostAll() }
    }

    var warmSandboxes: Int { pools.values.reduce(0) { $0 + $1.readyCount } }
}
