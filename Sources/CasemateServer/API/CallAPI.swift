import CasemateDeploy
import CasemateIdentity
import CasemateInvoke
import CasemateModel
import CasemateStore
import CasemateVault
import Foundation
import HTTPTypes

/// Asynchronous calls: which there are, what became of them, and what is to become of them.
extension APIServices {
    private static var calls: String { "/v1/namespaces/{namespace}/functions/{function}/calls" }
    private static var filters: Set<String> { ["cursor", "limit", "schedule", "since", "state", "until"] }

    var callRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/namespaces/{namespace}/calls", needs: .right(.logsRead)) { request in
                let namespace = try await namespace(try request.namespace())
                return try await list(.namespace(namespace.id), request)
            },
            APIRoute(.get, Self.calls, needs: .right(.logsRead)) { request in
                try await list(.function(try await function(try request.functionName()).id), request)
            },
            APIRoute(.get, Self.calls + "/{call}", needs: .right(.logsRead)) { request in
                try request.allowQuery(["wait"])
                let (function, call) = try await call(request)
                return .json(CallView(call, function: function.name))
            },
            APIRoute(.get, Self.calls + "/{call}/result", needs: .right(.logsRead)) { try await result($0) },
            APIRoute(.post, Self.calls + "/{call}/cancel", needs: .right(.functionInvoke)) { try await cancel($0) },
            APIRoute(.post, Self.calls + "/{call}/redrive", needs: .right(.functionInvoke)) { request in
                let (function, call) = try await call(request)
                return .json(RedriveView(calls: [try await redrive(call, of: function, for: request)]), status: .accepted)
            },
            APIRoute(.post, Self.calls + "/redrive", needs: .right(.functionInvoke)) { try await redriveAll($0) },
        ]
    }

    private func call(_ request: APIRequest) async throws -> (Function, QueuedCall) {
        let function = try await function(try request.functionName())
        guard let id = CallId(request.parameter("call")) else { throw Problem(.invalidRequest, "a call's id is a UUID") }
        let wait = try request.number("wait", default: 0, in: 0...(request.link == nil ? CallLookup.longestWaitInSeconds : 0))
        let call = try await lookup.ended(id, wait) { $0.functionId == function.id }
        if wait > 0 { try await request.stillMay() }
        return (function, call)
    }

    private func list(_ place: CallFilter.Place, _ request: APIRequest) async throws -> APIResponse {
        try request.allowQuery(Self.filters)
        func time(_ name: String) throws(Problem) -> Timestamp? {
            guard let text = request.query[name] else { return nil }
            guard let time = Timestamp(rfc3339: text) else {
                throw Problem(.invalidRequest, "\(name) is a time like 2026-01-02T03:04:05Z")
            }
            return time
        }
        var filter = CallFilter(
            place: place, since: try time("since"), until: try time("until"), limit: try request.number("limit", default: 50, in: 1...1000))
        if let text = request.query["state"] {
            filter.states = try text.split(separator: ",", omittingEmptySubsequences: false).map { word throws(Problem) in
                guard let state = CallState(rawValue: String(word)) else {
                    let known = CallState.allCases.map(\.rawValue).joined(separator: ", ")
                    throw Problem(.invalidRequest, "state \"\(word.prefix(40))\": write one of \(known), or several with commas")
                }
                return state
            }
            guard Set(filter.states).count == filter.states.count else { throw Problem(.invalidRequest, "state names a state twice") }
        }
        if let text = request.query["schedule"] {
            guard let id = ScheduleId(text) else { throw Problem(.invalidRequest, "schedule is a schedule's id, a UUID") }
            filter.schedule = id
        }
        if let text = request.query["cursor"] {
            guard let cursor = CallFilter.Cursor(text) else {
                throw Problem(.invalidRequest, "cursor is the nextCursor of an answer before")
            }
            filter.after = cursor
        }
        let found = try await queue.calls(filter)
        let views = found.compactMap { call in
            catalog.catalog.function(call.functionId).map { CallView(call, function: $0.name) }
        }
        return .json(
            CallList(calls: views, nextCursor: found.count == filter.limit ? found.last.map { CallFilter.Cursor($0).description } : nil))
    }

    /// The answer as the function gave it, in an envelope: a page of a function's must not be this server's.
    private func result(_ request: APIRequest) async throws -> APIResponse {
        try request.allowQuery(["wait"])
        let (function, call) = try await call(request)
        let result = try await lookup.result(of: call)
        if call.owner != request.principal.owner {
            let event = AuditEvent(.callResultRead, function.auditScope, ["call": call.id.text])
            audit.note(AuditContext.current?.completing(event) ?? event)
        }
        return .json(ResultView(call.id, result))
    }

    private func cancel(_ request: APIRequest) async throws -> APIResponse {
        let (function, call) = try await call(request)
        guard !call.state.isFinal else { throw Problem(.conflict, "the call has ended already: it is \(call.state.rawValue)") }
        try await audited(AuditEvent(.callCancelled, function.auditScope, ["call": call.id.text]))
        guard let (cancelled, wasRunning) = try await queue.cancel(call.id, by: request.principal.subject, at: .now) else {
            throw CallLookup.unknown
        }
        if wasRunning { gateway.cancel(call.id) }
        gateway.queueHas(function.id)
        return .json(CallView(cancelled, function: function.name))
    }

    // MARK: Once more

    /// Under a new id, for whoever made it first: that one is done, and stays what it is.
    private func redrive(_ call: QueuedCall, of function: Function, for request: APIRequest) async throws -> RedriveView.Item {
        if let known = call.redrivenAs {
            AuditContext.current?.changedNothing()
            return RedriveView.Item(callId: known.text, redriveOf: call.id.text)
        }
        guard call.state.mayBeRedriven else {
            throw Problem(.conflict, "only what is dead, failed or timedOut can be redriven; this call is \(call.state.rawValue)")
        }
        guard let stored = try await queue.request(call.id), let deployed = catalog.catalog.function(function.id) else {
            throw CallLookup.unknown
        }
        let id = CallId()
        let sealed: [UInt8]
        do throws(VaultError) {
            let key = try await callKeys.key(function.id, deployed.wrappedDataKey)
            sealed = try key.seal(try key.open(stored.request, .request, of: call.id.text), .request, of: id.text)
        } catch { throw error.problem }
        try await audited(AuditEvent(.callRedriven, function.auditScope, ["call": call.id.text, "as": id.text]))
        let new = NewCall(
            id: id, functionId: function.id, namespaceId: function.namespaceId,
            // Who asked for it without a credential has the first one's id alone, and whoever redrives has this one's: it opens nothing.
            owner: call.owner == Principal.anonymous.owner ? QueuedCall.nobody : call.owner, subject: call.subject, request: sealed,
            created: .now, rules: deployed.spec?.asynchronous ?? AsyncRules(), limits: deployed.policy.queue, redriveOf: call.id)
        let made = try await queue.redrive(stored, as: new)
        gateway.queueHas(function.id)
        return RedriveView.Item(callId: made.text, redriveOf: call.id.text)
    }

    /// All dead letters of the function, a hundred with each request.
    private func redriveAll(_ request: APIRequest) async throws -> APIResponse {
        let function = try await function(try request.functionName())
        let dead = try await queue.deadLetters(of: function.id, limit: 100)
        var items: [RedriveView.Item] = []
        var refused: (any Error)?
        for call in dead {
            // One that can't be opened keeps no other from it.
            do { items.append(try await redrive(call, of: function, for: request)) } catch { refused = error }
        }
        if items.isEmpty, let refused { throw refused }
        if items.isEmpty { AuditContext.current?.changedNothing() }
        return .json(RedriveView(calls: items, more: dead.count == 100 ? true : nil), status: .accepted)
    }
}

struct CallList: Encodable, Sendable {
    var calls: [CallView]
    /// Give it back as `cursor` to go on; nil at the end.
    var nextCursor: String?
}

struct RedriveView: Encodable, Sendable {
    struct Item: Encodable, Sendable {
        var callId: String
        var redriveOf: String
    }

    var calls: [Item]
    /// There are more.
    var more: Bool?
}

struct ResultView: Encodable, Sendable {
    struct Field: Encodable, Sendable {
        var name: String
        var value: String
    }

    var callId: String
    var status: Int
    var headers: [Field]
    /// Where it is text.
    var body: String?
    var bodyBase64: String?

    init(_ id: CallId, _ result: QueuedResult) {
        callId = id.text
        status = result.status
        headers = result.headers.map { Field(name: $0.name, value: $0.value) }
        let bytes = result.bytes
        body = String(validating: bytes, as: UTF8.self)
        if body == nil { bodyBase64 = Data(bytes).base64EncodedString() }
    }
}
