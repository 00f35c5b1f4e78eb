import CasemateIdentity
import CasemateModel
import CasemateStore
import CasemateVault
import NIOCore

/// Runs what waits in the queue: claims as many calls as there is room for, each function getting its share, has them take the way of every
/// other call, and writes down what became of them. Lives on the gateway's event loop.
///
/// Room is what calls that somebody waits for leave of a function's instances.
package final class CallWorkers {
    let services: CallServices
    unowned let pipeline: InvokePipeline
    /// Queued calls that run at once, of all functions.
    let most: Int
    /// That may have something to claim.
    private var ready: Set<FunctionId> = []
    /// Something came while a claim was on its way.
    private var cameMeanwhile: Set<FunctionId> = []
    private var claiming: Set<FunctionId> = []
    /// Claimed, or about to be.
    private var counts: [FunctionId: Int] = [:]
    /// Of these, those that were handed on.
    private var begun: [FunctionId: Int] = [:]
    private var total = 0
    /// When functions have something again that may not run yet.
    private var wakes: [FunctionId: Timestamp] = [:]
    /// What keeps one call of a function from beginning keeps the others, too: it is tried again after a while, with one.
    private var pauses: [FunctionId: NIODeadline] = [:]
    private var running: [CallId: QueuedResponder] = [:]
    private var share = FairShare()
    var random = SystemRandomNumberGenerator()
    package private(set) var metrics = QueueMetrics()
    private(set) var isStarted = false
    private var isStopped = false
    /// The time to end is over: what runs still is ended.
    private var isAbandoned = false
    private var ticks = 0

    /// In milliseconds.
    private static let longestPause: Int64 = 2_000
    /// Claimed at once, of one function.
    private static let batch = 32

    init(services: CallServices, pipeline: InvokePipeline, most: Int) {
        self.services = services
        self.pipeline = pipeline
        self.most = most
    }

    /// From now on something is claimed: what the queue has is known by then.
    package func start() {
        isStarted = true
        ready.formUnion(services.queue.open.keys)
        fill()
    }

    /// Claims nothing more; what runs goes on.
    package func stop() { isStopped = true }
    /// Writes down nothing more of what is left.
    func abandon() { isAbandoned = true }
    package var isIdle: Bool { total == 0 }

    /// A call of the function was accepted, or may run again.
    func arrived(_ function: FunctionId) {
        if claiming.contains(function) { cameMeanwhile.insert(function) }
        ready.insert(function)
        fill()
    }

    /// Called several times a second: instances may have become free, and times come.
    func tick() {
        guard isStarted else { return }
        let now = Timestamp.now
        for (function, time) in wakes where time <= now {
            wakes[function] = nil
            ready.insert(function)
        }
        ticks += 1
        // What was missed for whatever reason is found again.
        if ticks.isMultiple(of: 200) {
            ready.formUnion(services.queue.open.lazy.filter { $0.value.queued > 0 }.map(\.key))
            share.forget()
            services.callKeys.expire()
        }
        fill()
    }

    /// The queue is asked anew when something may run.
    package func clockWasSet() {
        ready.formUnion(wakes.keys)
        wakes = [:]
    }

    // MARK: Claims

    private func fill() {
        guard isStarted, !isStopped else { return }
        while total < most {
            let now = NIODeadline.now()
            let candidates = ready.filter { !claiming.contains($0) && pauses[$0].map { $0 <= now } ?? true && room(for: $0) > 0 }
            guard let next = share.next(of: Array(candidates)) else { return }
            // Where several wait, each gets a part of what is free.
            claim(min(room(for: next), max(1, (most - total) / candidates.count), Self.batch), of: next)
        }
    }

    private func room(for function: FunctionId) -> Int {
        let own = counts[function, default: 0]
        guard services.catalog.function(function)?.mayRun == true else { return 0 }
        // A quarter is for the others: however long its calls take, they need not wait for one to end.
        let share = max(1, most - most / 4) - own
        guard share > 0 else { return 0 }
        // After a pause one shows whether it is over.
        if pauses[function] != nil { return own == 0 ? 1 : 0 }
        // One is always in line with those that somebody waits for, or a busy function's would wait for ever.
        return min(share, max(pipeline.room(for: function, besides: own - begun[function, default: 0]), own == 0 ? 1 : 0))
    }

    private func claim(_ count: Int, of function: FunctionId) {
        claiming.insert(function)
        counts[function, default: 0] += count
        total += count
        let bound = NIOLoopBound(self, eventLoop: services.loop)
        services.queue.claim(count, of: function, at: .now) { result in
            bound.eventLoop.execute { bound.value.claimed(result, asked: count, of: function) }
        }
    }

    private func claimed(
        _ result: Result<(claimed: [ClaimedCall], tooOld: [QueuedCall]), any Error>, asked: Int, of function: FunctionId
    ) {
        claiming.remove(function)
        switch result {
        case .failure(let error):
            release(asked, of: function)
            ready.remove(function)
            wakes[function] = Timestamp.now.advanced(byMilliseconds: 1_000)
            services.queueFault(error)
        case .success(let (claimed, tooOld)):
            release(asked - claimed.count, of: function)
            if !tooOld.isEmpty { ended(tooOld) }
            share.took(claimed.count, function, weight: rules(of: function).weight)
            if claimed.count < asked, cameMeanwhile.remove(function) == nil {
                ready.remove(function)
                share.leave(function)
                wait(for: function)
            }
            for call in claimed { run(call) }
        }
        fill()
    }

    private func release(_ count: Int, of function: FunctionId) {
        total -= count
        let left = counts[function, default: 0] - count
        counts[function] = left > 0 ? left : nil
    }

    /// Until the next of its calls may run.
    private func wait(for function: FunctionId) {
        guard services.queue.depth(of: function)?.queued ?? 0 > 0 else { return }
        let promise = services.loop.makePromise(of: Timestamp?.self)
        promise.completeWithTask { [queue = services.queue] in try await queue.nextAvailable(of: function) }
        promise.futureResult.assumeIsolated().whenSuccess { [self] time in
            guard let time else { return }
            if time <= .now { return arrived(function) }
            wakes[function] = min(time, wakes[function] ?? time)
        }
    }

    func rules(of function: FunctionId) -> AsyncRules { services.catalog.function(function)?.spec?.asynchronous ?? AsyncRules() }

    // MARK: Runs

    private func run(_ claimed: ClaimedCall) {
        let responder = QueuedResponder(claimed) { [weak self] responder, answer in self?.answered(responder, answer) }
        running[claimed.call.id] = responder
        begun[claimed.call.functionId, default: 0] += 1
        metrics.began(waited: Timestamp.now.milliseconds - claimed.call.available.milliseconds)
        guard let function = services.catalog.function(claimed.call.functionId) else {
            return refuse(responder, Problem(.notFound, "the function is gone"))
        }
        do throws(VaultError) {
            if let key = try services.callKeys.keyNow(function.id, function.wrappedDataKey) { return run(responder, function, key) }
        } catch {
            return refuse(responder, error.problem)
        }
        withKey(of: function) { [self] result in
            switch result {
            case .success(let key): run(responder, function, key)
            case .failure(let error): refuse(responder, error.problem)
            }
        }
    }

    private func run(_ responder: QueuedResponder, _ function: Deployed, _ key: CallKey) {
        let claimed = responder.claimed
        guard let plain = try? key.open(claimed.request, .request, of: claimed.call.id.text),
            let request = QueuedRequest(encoded: plain)
        else {
            return refuse(responder, Problem(.invalidRequest, "the stored request is not what was accepted"))
        }
        pipeline.run(request, of: claimed.call, function, responder)
    }

    func withKey(of function: Deployed, _ done: @escaping (Result<CallKey, VaultError>) -> Void) {
        do throws(VaultError) {
            if let key = try services.callKeys.keyNow(function.id, function.wrappedDataKey) { return done(.success(key)) }
        } catch {
            return done(.failure(error))
        }
        let promise = services.loop.makePromise(of: Result<CallKey, VaultError>.self)
        promise.completeWithTask { [keys = services.callKeys] in
            do throws(VaultError) { return .success(try await keys.key(function.id, function.wrappedDataKey)) } catch {
                return .failure(error)
            }
        }
        promise.futureResult.assumeIsolated().whenSuccess(done)
    }

    func refuse(_ responder: QueuedResponder, _ problem: Problem) {
        responder.notes.problem = problem
        responder.answer(Redact.refusal(problem, of: responder.claimed.call.id))
    }

    // MARK: Ends

    private func answered(_ responder: QueuedResponder, _ answer: QueuedResponder.Answer) {
        let call = responder.claimed.call
        // It is the server that ended it, not the function: the next one takes it back.
        guard !isAbandoned else { return }
        if responder.notes.revision != nil { pauses[call.functionId] = nil }
        let problem = answer.isCut ? responder.notes.problem ?? Self.cut : responder.notes.problem
        let verdict = AttemptVerdict(status: answer.status, problem: problem, of: call, rules(of: call.functionId), using: &random)
        let outcome = AttemptOutcome(
            status: answer.status, problem: problem?.code.slug, detail: problem?.detail, revision: responder.notes.revision)
        switch verdict {
        case .again(let delay, let counts):
            if !counts { pauses[call.functionId] = .now() + .milliseconds(min(delay, Self.longestPause)) }
            // Not beyond its end: then it is a dead letter.
            giveBack(call, until: min(Timestamp.now.advanced(byMilliseconds: delay), call.expires), counts: counts, outcome)
        case .end(let state):
            guard let function = services.catalog.function(call.functionId), let result = answer.result else {
                return end(responder, state, outcome, nil)
            }
            withKey(of: function) { [self] key in
                // What can't be sealed is not kept: the call has run nevertheless.
                end(responder, state, outcome, try? key.get().seal(result.encoded, .result, of: QueuedResult.place(of: call)))
            }
        }
    }

    private static let cut = Problem(.badResult, "the function's answer broke off")

    private func end(_ responder: QueuedResponder, _ state: CallState, _ outcome: AttemptOutcome, _ result: [UInt8]?) {
        let bound = NIOLoopBound((self, responder), eventLoop: services.loop)
        let call = responder.claimed.call
        let limits = services.catalog.function(call.functionId)?.policy.queue ?? QueueLimits()
        services.queue.end(call, state, outcome, result: result, limits: limits, at: .now) { written in
            bound.eventLoop.execute { bound.value.0.wrote(bound.value.1, state, outcome, result, written) }
        }
    }

    private func wrote(
        _ responder: QueuedResponder, _ state: CallState, _ outcome: AttemptOutcome, _ result: [UInt8]?,
        _ written: Result<QueuedCall?, any Error>
    ) {
        let call = responder.claimed.call
        switch written {
        case .failure(let error):
            services.queueFault(error)
            // It has run, and must not run again for want of a disk: its lease is renewed until this can be written.
            services.loop.assumeIsolated().scheduleTask(in: .seconds(1)) { [self] in end(responder, state, outcome, result) }
            return
        case .success(let ended):
            if let ended { self.ended([ended]) } else { metrics.fenced += 1 }
            finished(call)
        }
    }

    private func giveBack(_ call: QueuedCall, until again: Timestamp, counts: Bool, _ outcome: AttemptOutcome) {
        let bound = NIOLoopBound(self, eventLoop: services.loop)
        services.queue.giveBack(call, until: again, counts: counts, outcome) { result in
            bound.eventLoop.execute { bound.value.gaveBack(call, until: again, counts: counts, outcome, result) }
        }
    }

    private func gaveBack(
        _ call: QueuedCall, until again: Timestamp, counts: Bool, _ outcome: AttemptOutcome, _ result: Result<Bool, any Error>
    ) {
        switch result {
        case .failure(let error):
            services.queueFault(error)
            services.loop.assumeIsolated().scheduleTask(in: .seconds(1)) { [self] in giveBack(call, until: again, counts: counts, outcome) }
            return
        case .success(true):
            if counts { metrics.retried += 1 }
            wakes[call.functionId] = min(again, wakes[call.functionId] ?? again)
        case .success(false): metrics.fenced += 1
        }
        finished(call)
    }

    private func finished(_ call: QueuedCall) {
        running[call.id] = nil
        let left = begun[call.functionId, default: 0] - 1
        begun[call.functionId] = left > 0 ? left : nil
        release(1, of: call.functionId)
        // The next of the same order may run now.
        if services.queue.depth(of: call.functionId)?.queued ?? 0 > 0 { ready.insert(call.functionId) }
        fill()
    }

    func ended(_ calls: [QueuedCall]) {
        for call in calls {
            metrics.ended(call)
            if call.state != .succeeded { services.write([.platform(Self.text(of: call), at: .now, call: call.id)], call.functionId) }
        }
        if calls.contains(where: { $0.state == .dead }) { services.deadLetters.thereAreSome() }
    }

    private static func text(of call: QueuedCall) -> String {
        "the asynchronous call is \(call.state.rawValue) after \(call.attempts) attempts: \(call.detail ?? call.problem ?? "it answered \(call.status ?? 0)")"
    }

    /// Ends a call that runs here; false where it does not.
    package func cancel(_ id: CallId) -> Bool {
        guard running[id] != nil else { return false }
        pipeline.instances.cancel(id)
        return true
    }
}
