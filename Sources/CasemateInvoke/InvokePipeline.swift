import CasemateIdentity
import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CasemateWire
import NIOCore

/// What calls need from the rest of the server.
package struct CallServices {
    package let vault: Vault
    package let signer: RevisionSigner
    package let logs: LogStore
    package let counters: CallCounters
    /// In bytes.
    package let maximumResponseBody: Int
    let recorder = CallRecorder()
    let frozen: FrozenInstances
    let egress: EgressRecords
    let catalog: Catalog
    let sessions: CallSessions
    let prepared: PreparedSessions
    let consents: Consents
    let links = FunctionLinks()
    let loop: any EventLoop

    /// - Parameter frozenBytes: what frozen instances may take together.
    package init(
        vault: Vault, signer: RevisionSigner, logs: LogStore, counters: CallCounters, maximumResponseBody: Int, frozenBytes: Int,
        egress: EgressRecords, catalog: Catalog, sessions: CallSessions, prepared: PreparedSessions, consents: Consents,
        loop: any EventLoop
    ) {
        self.sessions = sessions
        self.prepared = prepared
        self.consents = consents
        self.vault = vault
        self.signer = signer
        self.logs = logs
        self.counters = counters
        self.maximumResponseBody = maximumResponseBody
        frozen = FrozenInstances(limit: frozenBytes)
        self.egress = egress
        self.catalog = catalog
        self.loop = loop
    }

    func write(_ lines: [LogLine], _ function: FunctionId) { logs.append(lines, to: function) }

    /// Runs `body` when a report of the warden's would have come.
    func afterReport(_ body: @escaping () -> Void) {
        let bound = NIOLoopBound(body, eventLoop: loop)
        loop.scheduleTask(in: .milliseconds(400)) { bound.value() }
    }
}

/// The journey of one call: Authenticate → Authorize → Route → Admit → Run → Redact → Record.
///
/// Each stage takes what the stage before it made, so none can be left out. Lives on the gateway's one event loop: while an instance is
/// warm, a call passes all stages without a lock of its own, a hop or a task.
package final class InvokePipeline {
    private let issuers: IssuerRegistry
    private let sessions: CallSessions
    private let authenticate: Authenticate
    private let authorize: Authorize
    private let route = Route()
    private let admit: Admit
    private let services: CallServices
    private let catalog: Catalog
    private let pools: [String: SandboxPool]
    private var current: [FunctionId: (generation: UInt64, instances: FunctionInstances)] = [:]
    private var retired: [FunctionInstances] = []
    /// Redaction with a caller's token, for the tokens seen lately.
    private var withToken: [TokenRedaction: CallRedactor] = [:]
    private var random = RandomReserve()

    private struct TokenRedaction: Hashable {
        var instances: ObjectIdentifier
        var token: [UInt8]
    }

    package init(
        credentials: CredentialIndex, issuers: IssuerRegistry, catalog: Catalog, services: CallServices, pools: [String: SandboxPool],
        maximumRequestBody: Int
    ) {
        self.issuers = issuers
        sessions = services.sessions
        authenticate = Authenticate(index: credentials, issuers: issuers, sessions: services.sessions)
        authorize = Authorize(catalog: catalog, issuers: issuers, consents: services.consents, signer: services.signer.keyId)
        admit = Admit(maximumRequestBody: maximumRequestBody)
        self.catalog = catalog
        self.services = services
        self.pools = pools
    }

    package var links: FunctionLinks { services.links }
    package func newCallId() -> CallId { CallId(using: &random) }

    /// For a call whose token was signed by an issuer of which we have no keys, or not that one: returns when they are here, or can't be had.
    package func prepare(_ call: IncomingCall) -> EventLoopFuture<Void>? {
        guard let issuer = authenticate.issuer(neededFor: call) else { return nil }
        let promise = services.loop.makePromise(of: Void.self)
        promise.completeWithTask { [issuers] in await issuers.fetchKeys(of: issuer) }
        return promise.futureResult
    }

    /// What can be said before the body has come: nothing is started or counted as a call until this answered.
    package func receive(_ call: IncomingCall) throws(Problem) -> RoutedCall {
        do {
            return try route(try authorize(try authenticate(call)))
        } catch {
            refused(error)
            throw error
        }
    }

    /// Counts a call that was refused before it ran.
    package func refused(_ problem: Problem) {
        services.counters.refused.increment()
        services.recorder.metrics.refused(problem.code)
        if let limit = CallMetrics.Limit(problem) { services.recorder.metrics.ranInto(limit) }
    }

    /// Runs the call; the responder hears once.
    package func run(_ routed: RoutedCall, body: RequestBody, responder: any CallResponder) {
        do throws(Problem) {
            let admitted = try admit(routed, body: body)
            let caller = try caller(of: routed)
            let instances = try instances(of: routed.routing)
            // What was asked about may not be what runs: another revision came with the body, another caller with a nonce.
            if instances.revision.id != routed.revision.id || routed.call.nonce != nil {
                try authorize.checkAgreement(of: caller, with: instances.function)
            }
            services.counters.calls.increment()
            instances.run(
                RunningCall(
                    admitted: admitted, session: session(for: caller, instances), responder: responder,
                    redact: Redact(
                        redactor(instances, token: routed.authorized.token), hasSecrets: !instances.redactor.isEmpty,
                        hasUnknown: !instances.injected.isEmpty),
                    times: CallTimes(received: routed.call.received, authorized: routed.at),
                    deadline: .now() + .milliseconds(Int64(routed.spec.limits.timeoutInMilliseconds)), recorder: services.recorder))
        } catch {
            refused(error)
            responder.answer(Redact.refusal(error, of: routed.call.id))
        }
    }

    /// Whoever calls, or for whom they made a session before.
    /// - Throws: `.unauthenticated` for a session whose call has ended since it was looked at, and for a nonce that does not count.
    private func caller(of routed: RoutedCall) throws(Problem) -> Principal {
        if case .session(let session) = routed.authorized.principal, !sessions.isRunning(session) { throw Authenticate.noSession }
        guard let nonce = routed.call.nonce else { return routed.authorized.principal }
        return try services.prepared.take(Credential(nonce), by: routed.authorized.principal)
    }

    /// Nil for a function that declares nothing.
    private func session(for caller: Principal, _ instances: FunctionInstances) -> CallSession? {
        guard instances.spec.capabilities != nil else { return nil }
        let capabilities = authorize.capabilities(of: instances.function, for: caller)
        return CallSession(
            CallSessions.Session(of: instances.function.id, instances.function.name, for: caller, capabilities),
            key: instances.seals.session.sessionKey(using: &random), sessions: sessions)
    }

    private func instances(of routed: Routing) throws(Problem) -> FunctionInstances {
        let generation = routed.function.generation
        if let known = current[routed.function.id] {
            if known.generation == generation { return known.instances }
            // The call was routed just before a change: the newer generation serves it if it is here already.
            if known.generation > generation { return known.instances }
            retire(routed.function.id)
        }
        guard let pool = pools[routed.spec.runtime] else {
            throw Problem(.unavailable, "runtime \(routed.spec.runtime) is not installed; casemate runtime install \(routed.spec.runtime)")
        }
        do {
            let made = try FunctionInstances(routed, services: services, pool: pool)
            current[routed.function.id] = (generation, made)
            return made
        } catch {
            throw Problem(.unavailable, "the function's secrets can't be opened")
        }
    }

    private func redactor(_ instances: FunctionInstances, token: [UInt8]?) -> CallRedactor {
        guard let token else { return instances.callRedactor }
        let key = TokenRedaction(instances: ObjectIdentifier(instances), token: token)
        if let known = withToken[key] { return known }
        if withToken.count > 256 { withToken.removeAll() }
        let base = instances.redactor
        let made = CallRedactor(base, tokenLength: token.count) { base.adding([.token(token)]) }
        withToken[key] = made
        return made
    }

    private func retire(_ id: FunctionId) {
        guard let old = current.removeValue(forKey: id)?.instances else { return }
        withToken = withToken.filter { $0.key.instances != ObjectIdentifier(old) }
        old.retire()
        if !old.isEmpty { retired.append(old) }
    }

    // MARK: What happens besides calls

    /// A function was deployed, changed or deleted.
    package func changed(_ id: FunctionId) {
        let function = catalog.function(id)
        if let known = current[id], function?.generation != known.generation { retire(id) }
        guard let function, let routing = Routing(function) else { return }
        // Before the first call: what is to be kept up, and what was heavy to load.
        if (routing.spec.scale.min ?? 0) > 0 { return keepUp(id) }
        if services.frozen.isEnabled, (function.loadInMilliseconds ?? 0) >= FunctionInstances.heavyLoadInMilliseconds {
            (try? instances(of: routing))?.prepare()
        }
    }

    private func keepUp(_ id: FunctionId) {
        guard let function = catalog.function(id), let routing = Routing(function) else { return }
        _ = try? instances(of: routing)
    }

    package func tick() {
        let now = NIODeadline.now()
        for entry in current.values { entry.instances.tick(now) }
        for instances in retired { instances.tick(now) }
        retired.removeAll(where: \.isEmpty)
    }

    package func sandboxEnded(_ id: UInt32, _ reason: EndReason) {
        for entry in current.values { entry.instances.report(id, reason) }
        for instances in retired { instances.report(id, reason) }
    }

    package func wardenConnected() {
        for pool in pools.values { pool.wardenConnected() }
        for id in catalog.keptUp { keepUp(id) }
    }

    /// A function tried a system call that the sandbox does not allow.
    package func sandboxAttempted(_ id: UInt32, _ call: String) {
        services.recorder.metrics.blocked(call)
        for entry in current.values where entry.instances.note(id, call) { return }
        for instances in retired where instances.note(id, call) { return }
    }

    /// For `GET /metrics`.
    package var snapshot: (metrics: CallMetrics, gauges: CallGauges) {
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
        return (services.recorder.metrics, gauges)
    }

    package func wardenDisconnected() {
        for pool in pools.values { pool.wardenDisconnected() }
        for entry in current.values { entry.instances.lostAll() }
        for instances in retired { instances.lostAll() }
    }

    package var warmSandboxes: Int { pools.values.reduce(0) { $0 + $1.readyCount } }
}
