import CasemateIdentity
import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateVault
import CasemateWire
import NIOCore

/// All instances of one revision with one set of secret values. Lives on the gateway's event loop.
final class FunctionInstances {
    let routing: Routing
    let revision: Revision
    let spec: FunctionSpec
    let search: SecretSearch
    let environment: [VariableName: String]
    /// For calls without a token.
    let callRedactor: CallRedactor
    let bundle: BundleDigest
    /// Those that the function gets itself.
    let secrets: [OpenedSecret]
    /// Those that its way out puts in.
    let injected: [(place: InjectedSecret, value: Secret)]
    let services: CallServices
    let pool: SandboxPool
    var state: InstanceSetState<Instance, RunningCall>
    /// Those with calls.
    var running: [ObjectIdentifier: Instance] = [:]
    var starting: [ObjectIdentifier: (sandbox: WarmSandbox, deadline: NIODeadline)] = [:]
    /// Calls whose sandbox is gone, by its id, until the warden's report says why.
    var crashed: [UInt32: [RunningCall]] = [:]
    var reported: [UInt32: EndReason] = [:]
    var lastStartProblem: Problem?
    var noSpareBefore = NIODeadline.uptimeNanoseconds(0)
    /// What it runs with.
    let values: FunctionSecrets
    /// Why values that are kept elsewhere could not be had lately: what runs goes on, nothing more starts.
    var sourceProblem: Problem?
    var isRefreshing = false
    private var refreshedAt = NIODeadline.now()
    /// How often in a row it was found without an instance.
    var timesEmpty = 0

    init(_ routed: Routing, _ opened: OpenedFunction, services: CallServices, pool: SandboxPool) {
        routing = routed
        revision = routed.revision
        spec = routed.spec
        bundle = routed.bundle
        self.services = services
        self.pool = pool
        values = opened.values
        search = opened.search
        environment = opened.environment
        let all = values.current
        // Only what the revision declares is handed to it; all that is stored is redacted.
        secrets = all.filter { routed.spec.secrets.contains($0.name) && routed.spec.isHandedOver($0.name) }
        injected = (routed.spec.injected ?? []).compactMap { place in all.first { $0.name == place.name }.map { (place, $0.value) } }
        callRedactor = CallRedactor(search.redactor)
        state = InstanceSetState(
            most: spec.scale.max, least: min(spec.scale.min ?? 0, spec.scale.max), concurrency: spec.limits.concurrency ?? 1)
    }

    var function: Deployed { routing.function }
    var isEmpty: Bool { state.isEmpty }
    /// Whether its values need not be kept any longer: nothing runs with them, and nothing waits to.
    var isUnused: Bool { state.isEmpty && state.least == 0 && crashed.isEmpty && starting.isEmpty }
    var redactor: Redactor { search.redactor }
    var seals: CredentialSeals { search.seals }
    var isIsolated: Bool { spec.isolation == .call }

    /// How often values that are kept elsewhere are asked for anew, while something runs with them.
    private static let refreshInterval = TimeAmount.seconds(30)
    /// While they can't be had: calls are told to come again after as long.
    private static let retryInterval = TimeAmount.seconds(5)

    func needsRefresh(_ now: NIODeadline) -> Bool {
        let interval = sourceProblem == nil ? Self.refreshInterval : Self.retryInterval
        return spec.references != nil && !isRefreshing && now >= refreshedAt + interval && (!isEmpty || sourceProblem != nil)
    }

    func refreshed(at now: NIODeadline) {
        isRefreshing = false
        refreshedAt = now
    }

    /// After as long as if the values could not be had.
    func refreshSoon() { refreshedAt = refreshedAt - Self.refreshInterval + Self.retryInterval }

    func run(_ call: RunningCall) { carryOut(state.callArrived(call)) }

    func retire() { carryOut(state.retire()) }

    /// Before the first call: loads it once, and keeps what was heavy to load.
    func prepare() { carryOut(state.prepare()) }

    /// The warden is gone, and every sandbox with it.
    func lostAll() {
        for instance in Array(running.values) { ended(instance, .byTheSandbox, reason: .killed) }
        for instance in state.takeAll() {
            services.frozen.remove(instance)
            instance.sandbox.close()
        }
    }

    /// Notes in the function's log what its code tried; false when the sandbox is not one of these.
    func note(_ sandbox: UInt32, _ systemCall: String) -> Bool {
        let all = Array(running.values) + state.idle + state.frozen
        guard let instance = all.first(where: { $0.sandbox.id == sandbox }) else { return false }
        let call = instance.concurrency == 1 ? instance.calls.first?.id : nil
        let text =
            systemCall == HostileCall.name(HostileCall.more)
            ? "the function tried more system calls that the sandbox does not allow; they are refused and not told from now on"
            : "the function tried \(systemCall), which the sandbox does not allow"
        services.write([.platform(text, at: .now, call: call)], function.id)
        services.audit.note(
            AuditEvent(
                .sandboxAttempted, function.auditScope, outcome: .refused, actor: "function:\(function.id)", request: call?.text,
                ["systemCall": systemCall, "revision": "\(revision.number)"]))
        return true
    }

    /// Called several times a second: what has run out of time ends.
    func tick(_ now: NIODeadline) {
        for instance in Array(running.values) {
            for call in instance.calls where !call.isConcluding && now >= call.deadline { ranOutOfTime(call, on: instance) }
            if let since = instance.readySince, now - since > .seconds(2) { notReady(instance) }
        }
        for (key, entry) in starting where now >= entry.deadline {
            starting[key] = nil
            destroy(entry.sandbox)
            startFailed(Problem(.importFailed, "the function was not loaded within its time limit", reason: "timeout"))
        }
        for call in state.expireWaiters(where: { now >= $0.deadline }) {
            call.fail(Problem(.noCapacity, "no instance became free in time; try again", retryAfterSeconds: 1))
        }
        putAwayIdle(now)
        carryOut(state.keepLeast())
        keepSpare(now)
    }

    func carryOut(_ actions: InstanceSetState<Instance, RunningCall>.Actions) {
        for (call, instance) in actions.run {
            let body = call.admitted.body
            if body.isAborted {
                call.fail(Self.noBody)
                carryOut(state.finished(instance))
                continue
            }
            running[ObjectIdentifier(instance)] = instance
            instance.begin(call)
            if !body.isComplete { body.onAbort = { [weak self, weak call] in call.map { self?.bodyAborted(of: $0, on: instance) } } }
        }
        for call in actions.refuse { call.fail(lastStartProblem ?? Self.busy) }
        for instance in actions.end {
            services.frozen.remove(instance)
            destroy(instance.sandbox)
        }
        for instance in actions.thaw { thaw(instance) }
        for _ in 0..<actions.start { start() }
    }

    static let noBody = Problem(.requestTimeout, "the request's body did not arrive")
    private static let busy = Problem(.noCapacity, "all instances are busy and too many calls wait; try again", retryAfterSeconds: 1)

    func destroy(_ sandbox: WarmSandbox) {
        sandbox.close()
        pool.destroy(sandbox.id)
    }
}
