import CasemateIdentity
import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CasemateWire
import NIOCore

/// A cold start: a sandbox of the pool, the bundle attached to it, the handler loaded.
extension FunctionInstances {
    func start() {
        guard services.signer.isValid(revision) else {
            return startFailed(Problem(.tampered, "the revision's signature is not valid"))
        }
        let injections: Injections?
        do {
            injections = injected.isEmpty ? nil : try Injections(injected, redactor: search.injected)
        } catch {
            return startFailed(Problem(.noCapacity, "the sandbox's certificate authority could not be made", retryAfterSeconds: 1))
        }
        // What it would run with is here already, but nothing may be handed out.
        guard !(services.vault.isSealed && hasSecrets) else { return startFailed(VaultError.sealed.problem) }
        if let sourceProblem { return startFailed(sourceProblem) }
        services.counters.coldStarts.increment()
        var times = StartTimes(asked: .now())
        pool.take { [self] sandbox in
            guard let sandbox else {
                return startFailed(Problem(.noCapacity, "no sandbox could be started; try again", retryAfterSeconds: 1))
            }
            times.slot = .now()
            let key = ObjectIdentifier(sandbox)
            starting[key] = (sandbox, .now() + .milliseconds(Int64(max(spec.limits.timeoutInMilliseconds, 10_000))))
            sandbox.onClosed = { [self] _ in
                guard starting.removeValue(forKey: key) != nil else { return }
                destroy(sandbox)
                startFailed(Problem(.importFailed, "the function's sandbox ended while it was loaded", reason: "crash"))
            }
            // The bundle, the way out, and the record that secrets are used, side by side.
            var missing = 3
            let calls = SandboxCalls()
            let part = { [self] (problem: Problem?) in
                guard starting[key] != nil else { return }
                if let problem {
                    starting[key] = nil
                    destroy(sandbox)
                    return startFailed(problem)
                }
                missing -= 1
                guard missing == 0 else { return }
                times.mounted = .now()
                load(sandbox, key: key, times, calls, injections)
            }
            recordUse(of: sandbox, part)
            openEgress(of: sandbox, calls, injections) { part($0.map(Self.problem)) }
            pool.specialise(sandbox, bundle: bundle, limits: SandboxLimits(spec.limits)) { part($0.map(Self.problem)) }
        }
    }

    private var hasSecrets: Bool { !secrets.isEmpty || !injected.isEmpty }

    /// At once where there are no secrets. They are handed to nothing before that stands in the audit log.
    private func recordUse(of sandbox: WarmSandbox, _ done: @escaping (Problem?) -> Void) {
        guard hasSecrets else { return done(nil) }
        let used = secrets.map { $0.version == 0 ? "\($0.name)" : "\($0.name)@\($0.version)" } + injected.map { "\($0.place.name)" }
        let loop = services.loop
        let bound = NIOLoopBound(done, eventLoop: loop)
        services.audit.append(
            AuditEvent(
                .secretUsed, function.auditScope, actor: "function:\(function.id)",
                AuditEvent.listed("secrets", used).merging(["revision": "\(revision.number)", "sandbox": "\(sandbox.id)"]) { $1 })
        ) { isWritten in loop.execute { bound.value(isWritten ? nil : .auditUnavailable) } }
    }

    /// At once where no name is listed.
    private func openEgress(
        of sandbox: WarmSandbox, _ calls: SandboxCalls, _ injections: Injections?, _ done: @escaping (WardenFailure?) -> Void
    ) {
        guard let egress = sandbox.egress else { return done(.unexpected) }
        let peers = CalledFunctions(
            callerId: function.id, caller: function.name, sandbox: sandbox.id, capabilities: spec.capabilities ?? [],
            platform: spec.hasCredentials
                ? PlatformLink(function: function.id, name: function.name, sandbox: sandbox.id, seals: seals.workload) : nil,
            catalog: services.catalog, loop: services.loop, links: services.links
        ) { calls.depth }
        let rules = services.egress.rules(
            of: function, revision: revision.number, hosts: function.reachable, peers: peers, injections: injections,
            secrets: search.outgoing)
        guard !function.reachable.isEmpty else {
            egress.allow(rules) { _ in }
            return done(nil)
        }
        let loop = services.loop
        let bound = NIOLoopBound(done, eventLoop: loop)
        egress.allow(rules) { failure in loop.execute { bound.value(failure) } }
    }

    private static func problem(_ failure: WardenFailure) -> Problem {
        switch failure {
        case .refused(.digestMismatch, _), .refused(.unknownBundle, _):
            Problem(.tampered, "the bundle on disk is not the one that was signed")
        default: Problem(.noCapacity, "the sandbox could not be prepared; try again", retryAfterSeconds: 1)
        }
    }

    /// Entry, environment and secrets in one frame; the shim imports the handler and says what came of it.
    private func load(
        _ sandbox: WarmSandbox, key: ObjectIdentifier, _ started: StartTimes, _ calls: SandboxCalls, _ injections: Injections?
    ) {
        var times = started
        let instance = Instance(
            sandbox: sandbox, concurrency: spec.limits.concurrency ?? 1, isolatedFields: isIsolated ? secretFields : nil, redactor: redactor
        ) { [services, id = function.id] in services.write($0, id) }
        calls.instance = instance
        sandbox.maximumBodyLength = services.maximumResponseBody
        sandbox.onClosed = { [self] closing in
            if starting.removeValue(forKey: key) != nil {
                return sandbox.whenDrained { [self] in
                    instance.finishLogs(of: nil)
                    destroy(sandbox)
                    startFailed(Problem(.importFailed, "the function's sandbox ended while it was loaded", reason: "crash"))
                }
            }
            ended(instance, closing, reason: nil)
        }
        var fault: ShimFault?
        var traceback = ByteBuffer()
        sandbox.onEvent = { [self] event in
            if starting[key] == nil { return handle(event, of: instance) }
            switch event {
            case .head(let header, let meta):
                guard header.kind == .specialised, header.bodyLength <= 65_536 else { return protocolFault(of: instance) }
                if header.status != 0 { fault = ShimFault(meta: Array(meta.readableBytesView)) }
            case .body(var bytes): traceback.writeBuffer(&bytes)
            case .end:
                starting[key] = nil
                times.loaded = .now()
                instance.loadTime = times.loaded - times.sent
                instance.start = times
                sandbox.whenDrained { [self] in loaded(instance, fault: fault, traceback: traceback) }
            }
        }
        guard !(services.vault.isSealed && hasSecrets) else {
            starting[key] = nil
            destroy(sandbox)
            return startFailed(VaultError.sealed.problem)
        }
        let fields = fields(injections)
        sandbox.send(FrameHeader(kind: .specialise, metaLength: fields.readableBytes), meta: fields, body: nil)
        times.sent = .now()
    }

    /// The shim has said what came of loading, and all that was printed meanwhile is here.
    private func loaded(_ instance: Instance, fault: ShimFault?, traceback: ByteBuffer) {
        instance.finishLogs(of: nil)
        guard let fault else {
            guard instance.sandbox.isOpen else {
                return startFailed(Problem(.importFailed, "the function's sandbox ended while it was loaded", reason: "crash"))
            }
            lastStartProblem = nil
            instance.idleSince = .now()
            if let times = instance.start { services.recorder.metrics.started(times) }
            carryOut(state.started(instance))
            // Nobody waited for it: no call is told of its start.
            if instance.calls.isEmpty { instance.start = nil }
            return
        }
        destroy(instance.sandbox)
        services.write(Self.lines(of: fault, traceback: traceback, redactor: redactor), function.id)
        // Where in the source, is for those who may read its log.
        startFailed(Problem(.importFailed, "the function can't be loaded; its log says why", reason: fault.code))
    }

    private static func lines(of fault: ShimFault, traceback: ByteBuffer, redactor: Redactor) -> [LogLine] {
        let text = Array("\(fault.code): \(fault.message)\n".utf8) + Array(traceback.readableBytesView)
        let clean = redactor.redact(text)?.bytes ?? text
        return clean.split(separator: UInt8(ascii: "\n")).map { LogLine(time: .now, stream: .platform, call: nil, message: Array($0)) }
    }

    /// What the process that loads the handler gets. With a process per call, the secrets come with each call, to its own process.
    private func fields(_ injections: Injections?) -> ByteBuffer {
        var fields = ShimFields()
        fields.add(.handler, spec.handler)
        fields.add(.signature, spec.signature?.rawValue ?? "")
        fields.add(.function, function.name.description)
        fields.add(.revision, "\(revision.number)")
        fields.add(.memoryInMiB, "\(spec.limits.memoryInBytes >> 20)")
        for (name, value) in environment { fields.add(.environment, name: name.text, value: Array(value.utf8)) }
        if let concurrency = spec.limits.concurrency, concurrency > 1 { fields.add(.concurrency, "\(concurrency)") }
        if let injections { fields.add(.authority, injections.certificate) }
        if isIsolated { fields.add(.isolation, "call") } else { addSecrets(to: &fields) }
        return ByteBuffer(bytes: fields.bytes)
    }

    private var secretFields: ByteBuffer {
        var fields = ShimFields()
        addSecrets(to: &fields)
        return ByteBuffer(bytes: fields.bytes)
    }

    private func addSecrets(to fields: inout ShimFields) {
        for secret in secrets { secret.value.withBytes { fields.add(.secret, name: secret.name.text, value: $0) } }
        for (place, _) in injected {
            fields.add(.secret, name: place.name.text, value: Array(InjectedSecret.placeholder(of: place.name).utf8))
        }
    }

    func startFailed(_ problem: Problem) {
        services.counters.failed.increment()
        if problem.code == .tampered {
            services.audit.note(
                AuditEvent(
                    .revisionTampered, function.auditScope, outcome: .failed, actor: "function:\(function.id)",
                    ["revision": "\(revision.number)", "bundle": bundle.hex]))
        }
        lastStartProblem = problem
        pauseSpares()
        carryOut(state.startFailed())
    }
}

/// The calls that a sandbox runs, once it has an instance.
final class SandboxCalls {
    weak var instance: Instance?

    /// Of the deepest of them: which of several made a call of its own can't be told.
    var depth: Int { instance?.deepest ?? 0 }
}
