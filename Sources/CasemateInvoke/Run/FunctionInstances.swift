import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CasemateWire
import NIOCore

/// All instances of one revision with one set of secret values. Lives on the gateway's event loop.
final class FunctionInstances {
    let function: Deployed
    let revision: Revision
    let spec: FunctionSpec
    let redactor: Redactor
    private let bundle: BundleDigest
    private let secrets: [(name: VariableName, value: Secret)]
    private let services: CallServices
    private let pool: SandboxPool
    private var state: InstanceSetState<Instance, RunningCall>
    private var running: [ObjectIdentifier: Instance] = [:]
    private var starting: [ObjectIdentifier: (sandbox: WarmSandbox, deadline: NIODeadline)] = [:]
    /// Busy instances by their sandbox's id, so that the warden's report finds its call.
    private var crashed: [UInt32: RunningCall] = [:]
    private var reported: [UInt32: EndReason] = [:]

    /// - Throws: when a secret does not open.
    init(routed: RoutedCall, services: CallServices, pool: SandboxPool) throws {
        function = routed.function
        revision = routed.revision
        spec = routed.spec
        bundle = routed.bundle
        self.services = services
        self.pool = pool
        let all = try services.vault.open(function.secrets, of: function.id, wrappedKey: function.wrappedDataKey)
        // Only what the revision declares is handed to it; all that is stored is redacted.
        secrets = all.filter { routed.spec.secrets.contains($0.name) }
        redactor = Redactor(all.map { entry in entry.value.withBytes { Needle.secret(name: entry.name.text, value: $0) } })
        state = InstanceSetState(most: routed.spec.scale.max)
    }

    var isEmpty: Bool { state.isEmpty }

    func run(_ call: RunningCall) { carryOut(state.callArrived(call)) }

    func retire() { carryOut(state.retire()) }

    /// The warden is gone, and every sandbox with it.
    func lostAll() {
        for instance in Array(running.values) { ended(instance, .byTheSandbox, reason: .killed) }
        let stale = state.takeIdle { _ in true }
        for instance in stale { instance.sandbox.close() }
    }

    /// Called several times a second: what has run out of time ends.
    func tick(_ now: NIODeadline) {
        for instance in Array(running.values) {
            guard let call = instance.call, now >= call.deadline else { continue }
            running[ObjectIdentifier(instance)] = nil
            pool.destroy(instance.sandbox.id)
            instance.sandbox.whenDrained { [self] in timedOut(call, instance) }
        }
        for (key, entry) in starting where now >= entry.deadline {
            starting[key] = nil
            destroy(entry.sandbox)
            startFailed(Problem(.importFailed, "the function was not loaded within its time limit", reason: "timeout"))
        }
        for call in state.expireWaiters(where: { now >= $0.deadline }) {
            call.fail(Problem(.noCapacity, "no instance became free in time; try again", retryAfterSeconds: 1))
        }
        let idleLimit = TimeAmount.milliseconds(Int64(spec.scale.idleInMilliseconds))
        for instance in state.takeIdle(where: { now - $0.idleSince > idleLimit }) { destroy(instance.sandbox) }
    }

    private func timedOut(_ call: RunningCall, _ instance: Instance) {
        instance.finishLogs()
        instance.sandbox.close()
        let limit = spec.limits.timeoutInMilliseconds
        services.write([.platform("the call ran into its limit of \(limit) ms", at: .now, call: call.id)], function.id)
        services.counters.failed.increment()
        call.fail(Problem(.functionTimeout, "the function did not answer within \(limit) ms", reason: "timeout"))
        carryOut(state.lostBusy())
    }

    private func carryOut(_ actions: InstanceSetState<Instance, RunningCall>.Actions) {
        for (call, instance) in actions.run {
            running[ObjectIdentifier(instance)] = instance
            instance.begin(call)
        }
        for call in actions.refuse { call.fail(lastStartProblem ?? Self.busy) }
        for instance in actions.end { destroy(instance.sandbox) }
        for _ in 0..<actions.start { start() }
    }

    private static let busy = Problem(.noCapacity, "all instances are busy and too many calls wait; try again", retryAfterSeconds: 1)
    private var lastStartProblem: Problem?

    private func destroy(_ sandbox: WarmSandbox) {
        sandbox.close()
        pool.destroy(sandbox.id)
    }

    // MARK: Cold start

    private func start() {
        guard services.signer.isValid(revision) else {
            return startFailed(Problem(.tampered, "the revision's signature is not valid"))
        }
        services.counters.coldStarts.increment()
        pool.take { [self] sandbox in
            guard let sandbox else {
                return startFailed(Problem(.noCapacity, "no sandbox could be started; try again", retryAfterSeconds: 1))
            }
            let key = ObjectIdentifier(sandbox)
            starting[key] = (sandbox, .now() + .milliseconds(Int64(max(spec.limits.timeoutInMilliseconds, 10_000))))
            sandbox.onClosed = { [self] _ in
                guard starting.removeValue(forKey: key) != nil else { return }
                destroy(sandbox)
                startFailed(Problem(.importFailed, "the function's sandbox ended while it was loaded", reason: "crash"))
            }
            pool.specialise(sandbox, bundle: bundle, limits: SandboxLimits(spec.limits)) { [self] failure in
                guard starting[key] != nil else { return }
                if let failure {
                    starting[key] = nil
                    destroy(sandbox)
                    return startFailed(Self.problem(failure))
                }
                load(sandbox, key: key)
            }
        }
    }

    private static func problem(_ failure: WardenFailure) -> Problem {
        switch failure {
        case .refused(.digestMismatch, _), .refused(.unknownBundle, _):
            Problem(.tampered, "the bundle on disk is not the one that was signed")
        default: Problem(.noCapacity, "the sandbox could not be prepared; try again", retryAfterSeconds: 1)
        }
    }

    /// Entry, environment and secrets in one frame; the shim imports the handler and says what came of it.
    private func load(_ sandbox: WarmSandbox, key: ObjectIdentifier) {
        let instance = Instance(sandbox: sandbox, redactor: redactor) { [services, id = function.id] in services.write($0, id) }
        sandbox.maximumBodyLength = services.maximumResponseBody
        sandbox.onClosed = { [self] closing in
            if starting.removeValue(forKey: key) != nil {
                return sandbox.whenDrained { [self] in
                    instance.finishLogs()
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
                sandbox.whenDrained { [self] in loaded(instance, fault: fault, traceback: traceback) }
            }
        }
        sandbox.send(FrameHeader(kind: .specialise, metaLength: fields.readableBytes), meta: fields, body: nil)
    }

    /// The shim has said what came of loading, and all that was printed meanwhile is here.
    private func loaded(_ instance: Instance, fault: ShimFault?, traceback: ByteBuffer) {
        instance.finishLogs()
        guard let fault else {
            guard instance.sandbox.isOpen else {
                return startFailed(Problem(.importFailed, "the function's sandbox ended while it was loaded", reason: "crash"))
            }
            lastStartProblem = nil
            return carryOut(state.started(instance))
        }
        destroy(instance.sandbox)
        services.write(Self.lines(of: fault, traceback: traceback, redactor: redactor), function.id)
        let place = fault.file.map { file in " (\(file)\(fault.line.map { ":\($0)" } ?? ""))" } ?? ""
        startFailed(Problem(.importFailed, "the function can't be loaded\(place); its log says why", reason: fault.code))
    }

    private static func lines(of fault: ShimFault, traceback: ByteBuffer, redactor: Redactor) -> [LogLine] {
        let text = Array("\(fault.code): \(fault.message)\n".utf8) + Array(traceback.readableBytesView)
        let clean = redactor.redact(text)?.bytes ?? text
        return clean.split(separator: UInt8(ascii: "\n")).map { LogLine(time: .now, stream: .platform, call: nil, message: Array($0)) }
    }

    private var fields: ByteBuffer {
        var fields = ShimFields()
        fields.add(.handler, spec.handler)
        fields.add(.signature, spec.signature?.rawValue ?? "")
        fields.add(.function, function.name.description)
        fields.add(.revision, "\(revision.number)")
        fields.add(.memoryInMiB, "\(spec.limits.memoryInBytes >> 20)")
        for (name, value) in spec.environment { fields.add(.environment, name: name.text, value: Array(value.utf8)) }
        for secret in secrets { secret.value.withBytes { fields.add(.secret, name: secret.name.text, value: $0) } }
        return ByteBuffer(bytes: fields.bytes)
    }

    private func startFailed(_ problem: Problem) {
        services.counters.failed.increment()
        lastStartProblem = problem
        carryOut(state.startFailed())
    }

    // MARK: Calls

    private func handle(_ event: ShimEvent, of instance: Instance) {
        switch event {
        case .head(let header, let meta):
            // A second reply, or one that nobody asked for: the sandbox is hostile.
            guard instance.isReply(header), let call = instance.call else { return protocolFault(of: instance) }
            call.head(header, meta: meta)
            call.responder.onWritable = { [weak instance] in instance?.sandbox.setReading($0) }
        case .body(let bytes): instance.call?.part(bytes)
        case .end:
            guard instance.call != nil, !instance.isConcluding else { return }
            instance.isConcluding = true
            instance.sandbox.whenDrained { [self] in conclude(instance) }
        }
    }

    /// The reply is complete, and all that the call printed is here.
    private func conclude(_ instance: Instance) {
        // It may have run into its time limit meanwhile.
        guard let call = instance.call, running.removeValue(forKey: ObjectIdentifier(instance)) != nil else { return }
        services.counters.redactions.increment(by: instance.finishLogs())
        instance.call = nil
        instance.isConcluding = false
        instance.idleSince = .now()
        call.responder.onWritable = nil
        services.counters.redactions.increment(by: call.conclude())
        guard instance.isGone else { return carryOut(state.finished(instance)) }
        destroy(instance.sandbox)
        carryOut(state.lostBusy())
    }

    private func protocolFault(of instance: Instance) { ended(instance, .protocolFault, reason: nil) }

    /// The sandbox is gone. If a call ran, the warden's report says why; it is awaited for a moment.
    private func ended(_ instance: Instance, _ closing: WarmSandbox.Closing, reason: EndReason?) {
        if instance.isConcluding, case .byTheSandbox = closing {
            // It answered in full before it ended.
            instance.isGone = true
            return
        }
        let wasRunning = running.removeValue(forKey: ObjectIdentifier(instance)) != nil
        guard wasRunning, let call = instance.call else {
            state.lostIdle { $0 === instance }
            return destroy(instance.sandbox)
        }
        instance.sandbox.whenDrained { [self] in
            instance.finishLogs()
            instance.sandbox.close()
            conclude(call, of: instance.sandbox.id, closing, reason: reason)
            carryOut(state.lostBusy())
        }
    }

    private func conclude(_ call: RunningCall, of id: UInt32, _ closing: WarmSandbox.Closing, reason: EndReason?) {
        if case .tooLong = closing {
            pool.destroy(id)
            services.counters.failed.increment()
            let detail = "the function's response is larger than \(services.maximumResponseBody) bytes"
            services.write([.platform(detail, at: .now, call: call.id)], function.id)
            call.fail(Problem(.responseTooLarge, detail))
        } else if case .protocolFault = closing {
            pool.destroy(id)
            conclude(call, reason: "protocol", "the function's sandbox sent something that is not a reply")
        } else if let reason = reason ?? reported.removeValue(forKey: id) {
            conclude(call, reason)
        } else {
            crashed[id] = call
            services.afterReport { [self] in
                guard let call = crashed.removeValue(forKey: id) else { return }
                pool.destroy(id)
                conclude(call, .killed)
            }
        }
    }

    /// The warden's report on a sandbox that ended by itself.
    func report(_ sandbox: UInt32, _ reason: EndReason) {
        if let call = crashed.removeValue(forKey: sandbox) { return conclude(call, reason) }
        // The report came before the end of the socket did.
        if reported.count > 1024 { reported.removeAll() }
        reported[sandbox] = reason
    }

    private func conclude(_ call: RunningCall, _ reason: EndReason) {
        switch reason {
        case .outOfMemory:
            conclude(call, reason: "out-of-memory", "the function went over its memory limit of \(spec.limits.memoryInBytes >> 20) MiB")
        case .exited: conclude(call, reason: "exited", "the function's process ended before it answered")
        case .killed, .ordered: conclude(call, reason: "crashed", "the function's process was killed before it answered")
        }
    }

    private func conclude(_ call: RunningCall, reason: String, _ detail: String) {
        services.counters.failed.increment()
        services.write([.platform(detail, at: .now, call: call.id)], function.id)
        call.fail(Problem(.functionCrashed, detail, reason: reason))
    }
}
