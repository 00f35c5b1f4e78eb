import CasemateIdentity
import CasemateModel
import CasemateStore
import Foundation
import NIOCore
import NIOHTTP1

/// On whose behalf a call runs that was accepted before. Made only for what comes out of the queue: it was authorized when it came.
package struct AcceptedCaller {
    let principal: Principal
    let function: FunctionId

    fileprivate init(principal: Principal, function: FunctionId) {
        self.principal = principal
        self.function = function
    }
}

/// Where calls leave the journey to wait, and where they come back.
extension InvokePipeline {
    /// Takes the call into the queue; the responder hears once it is on the disk.
    func accept(_ routed: RoutedCall, _ wish: AsyncWish, body: RequestBody, responder: any CallResponder) {
        do throws(Problem) {
            if let checked = try checkInput(routed, body: body, as: routed.routing) { return accept(checked, wish, responder) }
        } catch {
            return refuseInput(error, routed, responder)
        }
        checkInput.later(routed, body: body, as: routed.routing) { [self] result in
            switch result {
            case .success(let checked): accept(checked, wish, responder)
            case .failure(let problem): refuseInput(problem, routed, responder)
            }
        }
    }

    private func accept(_ checked: CheckedCall, _ wish: AsyncWish, _ responder: any CallResponder) {
        let routed = checked.routed
        do throws(Problem) {
            enqueue(try admit(checked), for: try caller(of: routed), wish) { [self] result in
                switch result {
                case .success(let accepted):
                    responder.answer(Redact.acceptance(of: accepted))
                    if !accepted.isKnown { workers.arrived(routed.function.id) }
                case .failure(let problem): refuse(problem, routed, responder)
                }
            }
        } catch {
            refuse(error, routed, responder)
        }
    }

    /// Has a call that was claimed take the way of every other one, as the function and its caller are now.
    func run(_ request: QueuedRequest, of call: QueuedCall, _ function: Deployed, _ responder: QueuedResponder) {
        do throws(Problem) {
            guard let principal = request.caller.principal(issuer: issuers.issuer) else {
                throw Problem(.unauthenticated, "whoever made the call is not known any more")
            }
            var headers = request.headers
            // One that was made once more has an id of its own.
            headers.replaceOrAdd(name: "X-Request-Id", value: call.id.text)
            headers.replaceOrAdd(name: "Casemate-Attempt", value: "\(call.attempts + 1)")
            let incoming = IncomingCall(
                id: call.id, method: request.method, target: function.name.description[...], path: request.path[...],
                query: request.query[...], headers: headers,
                credential: .accepted(AcceptedCaller(principal: principal, function: function.id)), received: .now(), source: nil,
                depth: request.depth)
            run(try receive(incoming), body: RequestBody(whole: request.body), responder: responder)
        } catch {
            workers.refuse(responder, error)
        }
    }

    /// Answers what became of a call; the responder hears later.
    /// - Returns: what waits for the end, if it does; it may be cancelled.
    /// - Throws: what is known at once of whoever asks.
    func look(_ inquiry: CallInquiry, _ call: IncomingCall, _ responder: any CallResponder) throws(Problem) -> Task<Void, Never> {
        let authenticated = try authenticated(call)
        let principal = authenticated.principal
        let opens = authenticated.accessToken.map { token -> @Sendable (Deployed) -> Bool in
            { [authorize] function in authorize.opens(token, function) }
        }
        let asker = CallLookup.Asker(principal: principal, opens: opens)
        let promise = services.loop.makePromise(of: RedactedReply.self)
        let task = promise.completeWithTask { [lookup = services.lookup, audit = services.audit, catalog] in
            if inquiry.wantsResult {
                let (found, result) = try await lookup.result(inquiry.id, for: asker, wait: inquiry.wait)
                // As at the API: whoever reads what somebody else's call answered is on record.
                if found.owner != principal.owner, let function = catalog.function(found.functionId) {
                    audit.note(
                        AuditEvent(
                            .callResultRead, function.auditScope, actor: principal.subject, source: call.source?.description,
                            request: call.id.text, ["call": found.id.text]))
                }
                return Redact.kept(result)
            }
            return Redact.status(try Self.json(try await lookup.status(inquiry.id, for: asker, wait: inquiry.wait)))
        }
        promise.futureResult.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let reply): responder.answer(reply)
            case .failure(let error):
                responder.answer(
                    Redact.refusal(
                        error as? Problem ?? Problem(.unavailable, "the queue can't be read now", retryAfterSeconds: 5), of: call.id))
            }
        }
        return task
    }

    /// Apart from what awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func json(_ view: CallView) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(view))
    }

    /// No call runs, or waits for an instance, or for its end to be written down.
    var isIdle: Bool { workers.isIdle && instances.load == 0 }

    /// How many more queued calls the function's instances take now.
    /// - Parameter coming: that are on their way to them.
    func room(for function: FunctionId, besides coming: Int) -> Int {
        guard let deployed = services.catalog.function(function), deployed.mayRun, let routing = Routing(deployed) else { return 0 }
        let slots = routing.spec.scale.max * (routing.spec.limits.concurrency ?? 1)
        return slots - instances.load(of: routing) - coming
    }
}
