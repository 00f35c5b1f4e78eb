import CasemateIdentity
import CasemateModel
import CasemateStore
import CasemateVault
import NIOCore

/// A call that is on the disk and will run. Made only by `Enqueue`.
package struct AcceptedCall: Sendable {
    package let id: CallId
    /// The same request came before, and is the same call.
    package let isKnown: Bool

    fileprivate init(id: CallId, isKnown: Bool) {
        self.id = id
        self.isKnown = isKnown
    }
}

/// Takes a call in that is to run later: seals it under its function's key, and answers when it is on the disk. Lives on the gateway's loop.
package struct Enqueue {
    let queue: CallQueue
    let keys: CallKeys
    let sessions: CallSessions
    let loop: any EventLoop

    /// - Parameters:
    ///   - caller: on whose behalf it will run.
    ///   - done: hears once, on the loop: `.queueFull`, `.keyReused`, `.unavailable`, or what keeps the vault from sealing.
    package func callAsFunction(
        _ admitted: AdmittedCall, for caller: Principal, _ wish: AsyncWish, _ done: @escaping (Result<AcceptedCall, Problem>) -> Void
    ) {
        let (call, function) = (admitted.call, admitted.routed.function)
        // A key is its caller's own, and nobody has none: whoever guesses it would have the call of another, or keep them from making it.
        guard wish.idempotencyKey == nil || caller.owner != Principal.anonymous.owner else {
            return done(.failure(Problem(.invalidRequest, "an Idempotency-Key needs a credential, whose own it is")))
        }
        var detached: DetachedCaller?
        if case .session(let session) = caller {
            detached = sessions.detached(session)
            guard detached != nil else { return done(.failure(Authenticate.noSession)) }
        }
        let request = QueuedRequest(
            caller: QueuedCaller(caller, detached: detached), method: call.method, path: String(call.path), query: String(call.query),
            headers: call.headers, body: admitted.body.begin { _ in true } ?? ByteBuffer(), depth: call.depth)
        do throws(VaultError) {
            if let key = try keys.keyNow(function.id, function.wrappedDataKey) {
                return accept(request, call.id, function, caller.owner, caller.subject, wish, key, done)
            }
        } catch {
            return done(.failure(error.problem))
        }
        let promise = loop.makePromise(of: Result<CallKey, VaultError>.self)
        promise.completeWithTask { [keys] in
            do throws(VaultError) { return .success(try await keys.key(function.id, function.wrappedDataKey)) } catch {
                return .failure(error)
            }
        }
        promise.futureResult.assumeIsolated().whenSuccess { result in
            switch result {
            case .success(let key): accept(request, call.id, function, caller.owner, caller.subject, wish, key, done)
            case .failure(let error): done(.failure(error.problem))
            }
        }
    }

    private func accept(
        _ request: QueuedRequest, _ id: CallId, _ function: Deployed, _ owner: String, _ subject: String, _ wish: AsyncWish, _ key: CallKey,
        _ done: @escaping (Result<AcceptedCall, Problem>) -> Void
    ) {
        let sealed: [UInt8]
        do throws(VaultError) { sealed = try key.seal(request.encoded, .request, of: id.text) } catch {
            return done(.failure(error.problem))
        }
        let call = NewCall(
            id: id, functionId: function.id, namespaceId: function.namespaceId, owner: owner, subject: subject, request: sealed,
            created: .now,
            rules: function.spec?.asynchronous ?? AsyncRules(), limits: function.policy.queue,
            orderKey: wish.orderKey.map { key.name("order", [Array($0.utf8)]) },
            idempotency: wish.idempotencyKey.map { text in
                NewCall.Idempotency(
                    scope: key.name("idempotency", [Array(function.id.text.utf8), Array(owner.utf8), Array(text.utf8)]),
                    request: key.name("request", request.identity))
            })
        let bound = NIOLoopBound(done, eventLoop: loop)
        queue.accept(call) { [loop] result in
            let outcome: Result<AcceptedCall, Problem> =
                switch result {
                case .success(.accepted): .success(AcceptedCall(id: id, isKnown: false))
                case .success(.known(let known)): .success(AcceptedCall(id: known, isKnown: true))
                case .failure(let problem as Problem): .failure(problem)
                case .failure: .failure(Self.unwritable)
                }
            loop.execute { bound.value(outcome) }
        }
    }

    static let unwritable = Problem(
        .unavailable, "the queue can't be written, so the call was not accepted; the server's log says why", retryAfterSeconds: 5)
}
