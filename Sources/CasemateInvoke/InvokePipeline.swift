import CasemateIdentity
import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import NIOCore

/// What calls need from the rest of the server.
package struct CallServices {
    package let vault: Vault
    package let sources: SecretSources
    package let signer: RevisionSigner
    package let logs: LogStore
    package let audit: AuditLog
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
    let queue: CallQueue
    let callKeys: CallKeys
    let deadLetters: DeadLetters
    let lookup: CallLookup
    /// Told when the queue can't be read or written.
    let queueFault: @Sendable (any Error) -> Void
    let links = FunctionLinks()
    let loop: any EventLoop

    /// - Parameter frozenBytes: what frozen instances may take together.
    package init(
        vault: Vault, sources: SecretSources, signer: RevisionSigner, logs: LogStore, audit: AuditLog, counters: CallCounters,
        maximumResponseBody: Int,
        frozenBytes: Int,
        egress: EgressRecords, catalog: Catalog, sessions: CallSessions, prepared: PreparedSessions, consents: Consents,
        queue: CallQueue, callKeys: CallKeys, deadLetters: DeadLetters, queueFault: @Sendable @escaping (any Error) -> Void,
        loop: any EventLoop
    ) {
        self.queue = queue
        self.callKeys = callKeys
        self.deadLetters = deadLetters
        lookup = CallLookup(queue: queue, keys: callKeys, catalog: catalog)
        self.queueFault = queueFault
        self.sessions = sessions
        self.prepared = prepared
        self.consents = consents
        self.vault = vault
        self.sources = sources
        self.signer = signer
        self.logs = logs
        self.audit = audit
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

/// The journey of one call: Authenticate → Authorize → Route → CheckInput → Admit → Run → Redact → Record.
///
/// Each stage takes what the stage before it made, so none can be left out. Lives on the gateway's one event loop: while an instance is
/// warm, a call passes all stages without a lock of its own, a hop or a task.
package final class InvokePipeline {
    let issuers: IssuerRegistry
    private let sessions: CallSessions
    private let authenticate: Authenticate
    let authorize: Authorize
    private let route = Route()
    let checkInput: CheckInput
    let admit: Admit
    let enqueue: Enqueue
    let services: CallServices
    let catalog: Catalog
    let instances: InstanceSets
    private var random = RandomReserve()
    package private(set) var workers: CallWorkers!
    /// Connections end with their next answer: the server is to stop.
    var isStopping = false
    /// Connections from which nothing has come yet.
    var silent = 0

    package init(
        credentials: CredentialIndex, issuers: IssuerRegistry, catalog: Catalog, services: CallServices, pools: [String: SandboxPool],
        maximumRequestBody: Int, maximumQueuedCalls: Int = 32
    ) {
        self.issuers = issuers
        sessions = services.sessions
        authenticate = Authenticate(index: credentials, issuers: issuers, sessions: services.sessions)
        authorize = Authorize(catalog: catalog, issuers: issuers, consents: services.consents)
        checkInput = CheckInput(loop: services.loop)
        admit = Admit(maximumRequestBody: maximumRequestBody)
        self.catalog = catalog
        self.services = services
        instances = InstanceSets(services: services, catalog: catalog, pools: pools)
        enqueue = Enqueue(queue: services.queue, keys: services.callKeys, sessions: services.sessions, loop: services.loop)
        workers = CallWorkers(services: services, pipeline: self, most: maximumQueuedCalls)
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
            return try route(try authorized(try authenticated(call)))
        } catch {
            refused(error)
            throw error
        }
    }

    func authenticated(_ call: IncomingCall) throws(Problem) -> AuthenticatedCall {
        do { return try authenticate(call) } catch {
            switch error.code {
            case .unauthenticated: note(.authFailed, call, error, by: nil)
            case .rateLimited: note(.authLimited, call, error, by: nil)
            default: break
            }
            throw error
        }
    }

    private func authorized(_ call: AuthenticatedCall) throws(Problem) -> AuthorizedCall {
        do { return try authorize(call) } catch {
            // Who shows nothing is nobody: that anybody can call without a credential is no news, and must not fill the disk.
            if case .anonymous = call.principal { throw error }
            if error.code != .notFound { note(.callRefused, call.call, error, by: call.principal) }
            throw error
        }
    }

    private func note(_ kind: AuditKind, _ call: IncomingCall, _ problem: Problem, by principal: Principal?) {
        services.audit.note(
            AuditEvent(
                kind, catalog.function(named: call.target)?.auditScope ?? .platform, outcome: .refused,
                actor: (principal ?? .anonymous).subject, source: call.source?.description, request: call.id.text,
                ["problem": problem.code.slug]))
    }

    /// Counts a call that was refused before it ran.
    package func refused(_ problem: Problem) {
        services.counters.refused.increment()
        services.recorder.metrics.refused(problem.code)
        if let limit = CallMetrics.Limit(problem) { services.recorder.metrics.ranInto(limit) }
    }

    /// Runs the call, or takes it into the queue where its caller does not wait; the responder hears once.
    package func run(_ routed: RoutedCall, body: RequestBody, responder: any CallResponder) {
        if let wish = routed.call.asynchronous { return accept(routed, wish, body: body, responder: responder) }
        if routed.function.policy.calls != .unrecorded {
            return recordCall(routed) { [self] isRecorded in
                guard isRecorded else { return refuse(.auditUnavailable, routed, responder) }
                runRecorded(routed, body: body, responder: responder)
            }
        }
        runRecorded(routed, body: body, responder: responder)
    }

    private func runRecorded(_ routed: RoutedCall, body: RequestBody, responder: any CallResponder) {
        if let known = instances.known(routed.routing), known.function.mayRun {
            return run(routed, on: known, body: body, responder: responder)
        }
        let routing: Routing
        do throws(Problem) { routing = try latest(routed.routing) } catch { return refuse(error, routed, responder) }
        instances.open(routing) { [self] found in
            switch found {
            case .success(let instances): run(routed, on: instances, body: body, responder: responder)
            case .failure(let problem): refuse(problem, routed, responder)
            }
        }
    }

    /// A body may take a minute to arrive: nothing is started anew of what the function was then.
    /// - Throws: `.notFound` for one that is gone; `.untrustedVersion`, `.functionDisabled`.
    private func latest(_ routing: Routing) throws(Problem) -> Routing {
        guard let now = catalog.function(routing.function.id) else { throw Problem(.notFound, "there is no such function") }
        guard now.generation != routing.function.generation else { return routing }
        let same = [now, now.other].compactMap { $0 }.first { $0.revision?.id == routing.revision.id }
        guard let latest = Routing(same ?? now) else { throw Problem(.notFound, "the function has not been deployed yet") }
        try Route.mayRun(latest)
        return latest
    }

    /// The revision's own answer, if not its function's: of a split it was its turn.
    func refuseInput(_ problem: Problem, _ routed: RoutedCall, _ responder: any CallResponder) {
        routed.authorized.turn?.take()
        refuse(problem, routed, responder)
    }

    func refuse(_ problem: Problem, _ routed: RoutedCall, _ responder: any CallResponder) {
        refused(problem)
        responder.notes.problem = problem
        responder.answer(Redact.refusal(problem, of: routed.call.id))
    }

    private func run(_ routed: RoutedCall, on instances: FunctionInstances, body: RequestBody, responder: any CallResponder) {
        do throws(Problem) {
            if let checked = try checkInput(routed, body: body, as: instances.routing) { return run(checked, on: instances, responder) }
        } catch {
            return refuseInput(error, routed, responder)
        }
        checkInput.later(routed, body: body, as: instances.routing) { [self] result in
            switch result {
            // Meanwhile it may have become another.
            case .success where self.instances.known(instances.routing) !== instances: runRecorded(routed, body: body, responder: responder)
            case .success(let checked): run(checked, on: instances, responder)
            case .failure(let problem): refuseInput(problem, routed, responder)
            }
        }
    }

    private func run(_ checked: CheckedCall, on instances: FunctionInstances, _ responder: any CallResponder) {
        let routed = checked.routed
        do throws(Problem) {
            let admitted = try admit(checked)
            let caller = try caller(of: routed)
            // What was asked about may not be what runs: another revision came with the body, another caller with a nonce.
            if instances.revision.id != routed.revision.id || routed.call.nonce != nil {
                try authorize.checkAgreement(of: caller, with: instances.function)
            }
            services.counters.calls.increment()
            routed.authorized.turn?.take()
            instances.run(
                RunningCall(
                    admitted: admitted, session: session(for: caller, instances), responder: responder,
                    redact: redact(instances, token: routed.authorized.token),
                    times: CallTimes(received: routed.call.received, authorized: routed.at),
                    deadline: .now() + .milliseconds(Int64(routed.spec.limits.timeoutInMilliseconds)), recorder: services.recorder))
        } catch {
            refuse(error, routed, responder)
        }
    }

    private func redact(_ instances: FunctionInstances, token: [UInt8]?) -> Redact {
        let answers = instances.search.answers
        return Redact(
            self.instances.redactor(instances, token: token),
            answers: answers.map { base in
                token.map { token in CallRedactor(base, tokenLength: token.count) { base.adding([.token(token)]) } } ?? CallRedactor(base)
            },
            blocks: instances.spec.secretsInResponse == .block, hasSecrets: !(answers ?? instances.redactor).isEmpty,
            hasUnknown: !instances.injected.isEmpty)
    }

    /// What the namespace's policy asks for: that each call stands in the audit log, and that none runs that does not.
    private func recordCall(_ routed: RoutedCall, _ done: @escaping (Bool) -> Void) {
        let event = AuditEvent(
            .callMade, routed.function.auditScope, actor: routed.authorized.principal.subject, source: routed.call.source?.description,
            request: routed.call.id.text, ["revision": "\(routed.revision.number)"])
        guard routed.function.policy.calls == .required else {
            services.audit.add(event)
            return done(true)
        }
        let loop = services.loop
        let bound = NIOLoopBound(done, eventLoop: loop)
        services.audit.append(event) { isWritten in loop.execute { bound.value(isWritten) } }
    }

    /// Whoever calls, or for whom they made a session before.
    /// - Throws: `.unauthenticated` for a session whose call has ended since it was looked at, and for a nonce that does not count.
    func caller(of routed: RoutedCall) throws(Problem) -> Principal {
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

    // MARK: What happens besides calls

    package func tick() {
        workers.tick()
        instances.tick()
    }

    /// For `GET /metrics`.
    package var snapshot: (metrics: CallMetrics, gauges: CallGauges, queue: QueueMetrics) {
        (services.recorder.metrics, instances.gauges, workers.metrics)
    }
}
