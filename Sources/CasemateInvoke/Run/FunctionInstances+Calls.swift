import CasemateModel
import CasemateSandbox
import CasemateStore
import CasemateWire
import NIOCore

/// From a call's first frame to its answer, and every way in which it can end otherwise.
extension FunctionInstances {
    func handle(_ event: ShimEvent, of instance: Instance) {
        switch instance.take(event) {
        case .goesOn: return
        case .replied(let call):
            // Where calls share an instance, their text came in frames before the reply.
            if instance.concurrency > 1 { return conclude(call, on: instance) }
            if call.lostItsProcess { return concludeLost(call, on: instance) }
            instance.sandbox.whenDrained { [self] in conclude(call, on: instance) }
        case .ready: if instance.readySince == nil { instance.isReadyEarly = true } else { becameReady(instance) }
        case .fault: protocolFault(of: instance)
        }
    }

    /// The reply is complete, and all that the call printed is here.
    private func conclude(_ call: RunningCall, on instance: Instance) {
        // It may have run into its time limit meanwhile.
        guard !instance.isEnding, instance.calls.contains(where: { $0 === call }) else { return }
        takeLogs(of: call, on: instance)
        instance.forget(call)
        call.responder.onWritable = nil
        // A caller that took its answer slowly may have stopped it.
        instance.sandbox.setReading(true)
        // The next call is sent first: its function works while this one's answer is redacted and written.
        defer { noteRedacted(call.conclude(), in: call.answersWithSecret ? .secretAllowed : .secretRedacted, "response", of: call) }
        if instance.isGone || (instance.isDraining && instance.calls.isEmpty) {
            running[ObjectIdentifier(instance)] = nil
            destroy(instance.sandbox)
            return carryOut(state.lost(instance))
        }
        if instance.isDraining { return state.finishedLast() }
        if instance.isIsolated {
            // Its process ends, and another is made: that can take a moment, and is not this caller's time.
            if instance.isReadyEarly { return becameReady(instance) }
            instance.readySince = .now()
            return
        }
        if instance.calls.isEmpty { running[ObjectIdentifier(instance)] = nil }
        instance.idleSince = .now()
        carryOut(state.finished(instance))
    }

    private func becameReady(_ instance: Instance) {
        instance.readySince = nil
        instance.isReadyEarly = false
        // What the call's processes printed after its answer is nobody's, and must be gone before the next call comes.
        instance.sandbox.whenDrained { [self] in
            guard instance.sandbox.isOpen, running.removeValue(forKey: ObjectIdentifier(instance)) != nil else { return }
            takeLogs(of: nil, on: instance)
            instance.idleSince = .now()
            carryOut(state.finished(instance))
        }
    }

    /// The process of an isolated call is gone: the counters of its sandbox say whether memory was why.
    private func concludeLost(_ call: RunningCall, on instance: Instance) {
        pool.count(instance.sandbox.id) { [self] counts in
            instance.sandbox.whenDrained { [self] in
                if let counts, counts.outOfMemory > 0 {
                    call.fail(Self.outOfMemory(spec))
                    // The counter stays: another sandbox makes the next call's reason clear.
                    instance.isGone = true
                }
                conclude(call, on: instance)
            }
        }
    }

    private func takeLogs(of call: RunningCall?, on instance: Instance) {
        let (hits, dropped) = instance.finishLogs(of: call)
        noteRedacted(hits, in: .secretRedacted, "log", of: call)
        if dropped > 0 { services.recorder.metrics.ranInto(.output) }
    }

    private func noteRedacted(_ hits: Int, in kind: AuditKind, _ place: String, of call: RunningCall?) {
        if call?.isBlocked == true, place == "response" {
            services.counters.redactions.increment()
            return note(.secretBlocked, place, of: call)
        }
        if kind == .secretAllowed { note(kind, place, of: call) }
        guard hits > 0 else { return }
        services.counters.redactions.increment(by: hits)
        note(.secretRedacted, place, hits, of: call)
    }

    private func note(_ kind: AuditKind, _ place: String, _ hits: Int = 1, of call: RunningCall?) {
        services.audit.note(
            AuditEvent(
                kind, function.auditScope, outcome: kind == .secretBlocked ? .refused : .done, actor: "function:\(function.id)",
                request: call?.id.text, ["in": place, "values": "\(hits)", "revision": "\(revision.number)"]))
    }

    /// The caller went away in the middle of its body: the frame can't be finished, and the instance is of no more use.
    func bodyAborted(of call: RunningCall, on instance: Instance) {
        guard running.removeValue(forKey: ObjectIdentifier(instance)) != nil else { return }
        instance.isEnding = true
        takeLogs(of: call, on: instance)
        instance.forget(call)
        call.fail(Self.noBody)
        destroy(instance.sandbox)
        carryOut(state.lost(instance))
    }

    // MARK: Time

    func ranOutOfTime(_ call: RunningCall, on instance: Instance) { end(call, on: instance, timeProblem) }

    /// Ends a call that was cancelled; false where it is not one of these.
    func cancel(_ id: CallId) -> Bool {
        let waiting = state.expireWaiters { $0.id == id }
        for call in waiting { call.fail(Self.cancelled) }
        guard waiting.isEmpty else { return true }
        for instance in Array(running.values) {
            guard let call = instance.calls.first(where: { $0.id == id }) else { continue }
            // Its answer is complete: it comes too late to count.
            if !call.isConcluding { end(call, on: instance) { _ in Self.cancelled } }
            return true
        }
        return false
    }

    private static let cancelled = Problem(.callCancelled, "the call was cancelled while it ran")

    private func end(_ call: RunningCall, on instance: Instance, _ problem: @escaping (SandboxCounts?) -> Problem) {
        call.session?.end()
        guard instance.concurrency == 1 else { return endBesideOthers(call, on: instance, problem(nil)) }
        instance.isEnding = true
        running[ObjectIdentifier(instance)] = nil
        pool.count(instance.sandbox.id) { [self] counts in
            pool.destroy(instance.sandbox.id)
            instance.sandbox.whenDrained { [self] in
                takeLogs(of: call, on: instance)
                instance.sandbox.close()
                instance.forget(call)
                fail(call, problem(counts))
                carryOut(state.lost(instance))
            }
        }
    }

    /// A thread can't be stopped: the instance takes no more calls, and ends with the last that runs.
    private func endBesideOthers(_ call: RunningCall, on instance: Instance, _ problem: Problem) {
        takeLogs(of: call, on: instance)
        instance.abandon(call)
        if !instance.isDraining {
            instance.isDraining = true
            state.drain(instance)
        }
        fail(call, problem)
        guard instance.calls.isEmpty else { return state.finishedLast() }
        running[ObjectIdentifier(instance)] = nil
        destroy(instance.sandbox)
        carryOut(state.lost(instance))
    }

    private func timeProblem(_ counts: SandboxCounts?) -> Problem {
        let limit = spec.limits.timeoutInMilliseconds
        if let counts, counts.throttledInMilliseconds >= limit / 2 {
            return Problem(
                .functionTimeout,
                "the function did not answer within \(limit) ms; its CPU limit held it back for \(counts.throttledInMilliseconds) ms",
                reason: "cpu")
        }
        return Problem(.functionTimeout, "the function did not answer within \(limit) ms", reason: "timeout")
    }

    /// An isolated instance that does not make ready for its next call.
    func notReady(_ instance: Instance) {
        running[ObjectIdentifier(instance)] = nil
        instance.readySince = nil
        destroy(instance.sandbox)
        carryOut(state.lost(instance))
    }

    // MARK: A sandbox that is gone

    func protocolFault(of instance: Instance) { ended(instance, .protocolFault, reason: nil) }

    /// The sandbox is gone. If calls ran, the warden's report says why; it is awaited for a moment.
    func ended(_ instance: Instance, _ closing: WarmSandbox.Closing, reason: EndReason?) {
        if instance.isEnding { return }
        if case .byTheSandbox = closing, !instance.calls.isEmpty, instance.calls.allSatisfy(\.isConcluding) {
            // It answered in full before it ended.
            instance.isGone = true
            return
        }
        guard running.removeValue(forKey: ObjectIdentifier(instance)) != nil else {
            if state.isKnown(instance) {
                services.frozen.remove(instance)
                carryOut(state.lost(instance, running: 0))
            }
            return destroy(instance.sandbox)
        }
        // A reply that waited for the pipes does not count any more: the call is answered once, here.
        instance.isEnding = true
        let calls = instance.calls
        instance.sandbox.whenDrained { [self] in
            for call in calls { takeLogs(of: call, on: instance) }
            instance.sandbox.close()
            conclude(calls, of: instance.sandbox.id, closing, reason: reason)
            // An isolated instance between two calls has one slot taken and no call.
            carryOut(state.lost(instance, running: max(1, calls.count)))
        }
    }

    private func conclude(_ calls: [RunningCall], of id: UInt32, _ closing: WarmSandbox.Closing, reason: EndReason?) {
        if case .tooLong = closing {
            pool.destroy(id)
            let detail = "the function's response is larger than \(services.maximumResponseBody) bytes"
            for call in calls { fail(call, Problem(.responseTooLarge, detail)) }
        } else if case .protocolFault = closing {
            pool.destroy(id)
            let problem = Problem(.functionCrashed, "the function's sandbox sent something that is not a reply", reason: "protocol")
            for call in calls { fail(call, problem) }
        } else if let reason = reason ?? reported.removeValue(forKey: id) {
            for call in calls { fail(call, Self.problem(reason, spec)) }
        } else if !calls.isEmpty {
            crashed[id] = calls
            services.afterReport { [self] in
                guard let calls = crashed.removeValue(forKey: id) else { return }
                pool.destroy(id)
                for call in calls { fail(call, Self.problem(.killed, spec)) }
            }
        }
    }

    /// The warden's report on a sandbox that ended by itself.
    func report(_ sandbox: UInt32, _ reason: EndReason) {
        if let calls = crashed.removeValue(forKey: sandbox) {
            for call in calls { fail(call, Self.problem(reason, spec)) }
            return
        }
        // The report came before the end of the socket did.
        if reported.count > 1024 { reported.removeAll() }
        reported[sandbox] = reason
    }

    private static func problem(_ reason: EndReason, _ spec: FunctionSpec) -> Problem {
        switch reason {
        case .outOfMemory: outOfMemory(spec)
        case .exited: Problem(.functionCrashed, "the function's process ended before it answered", reason: "exited")
        case .killed, .ordered: Problem(.functionCrashed, "the function's process was killed before it answered", reason: "crashed")
        }
    }

    private static func outOfMemory(_ spec: FunctionSpec) -> Problem {
        Problem(
            .functionCrashed, "the function went over its memory limit of \(spec.limits.memoryInBytes >> 20) MiB", reason: "out-of-memory")
    }

    private func fail(_ call: RunningCall, _ problem: Problem) {
        services.counters.failed.increment()
        services.audit.note(
            AuditEvent(
                .sandboxKilled, function.auditScope, outcome: .failed, actor: "function:\(function.id)", request: call.id.text,
                ["reason": problem.reason ?? problem.code.slug, "revision": "\(revision.number)"]))
        services.write([.platform(problem.detail, at: .now, call: call.id)], function.id)
        call.fail(problem)
    }
}
