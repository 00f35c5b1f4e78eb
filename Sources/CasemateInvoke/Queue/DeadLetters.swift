import CasemateIdentity
import CasemateModel
import CasemateStore
import CasemateVault
import Foundation
import NIOCore
import NIOHTTP1
import Synchronization

/// Tells of calls that were tried in vain: an event for each, and a call of the function that theirs names for them, as that function. Each is
/// marked as told in the commit that queues that call, so that it is called once for each however often the server ends.
package final class DeadLetters: Sendable {
    private struct State {
        var isAtWork = false
        var cameMeanwhile = false
        var arrived: (@Sendable (FunctionId) -> Void)?
    }

    private let queue: CallQueue
    private let keys: CallKeys
    private let catalog: Catalog
    private let audit: AuditLog
    private let logs: LogStore
    private let state = Mutex(State())

    package init(queue: CallQueue, keys: CallKeys, catalog: Catalog, audit: AuditLog, logs: LogStore) {
        self.queue = queue
        self.keys = keys
        self.catalog = catalog
        self.audit = audit
        self.logs = logs
    }

    /// Told when a function has a call more.
    package func onArrival(_ body: @Sendable @escaping (FunctionId) -> Void) { state.withLock { $0.arrived = body } }

    package func thereAreSome() {
        let begins = state.withLock { state in
            defer { state.isAtWork = true }
            state.cameMeanwhile = state.isAtWork
            return !state.isAtWork
        }
        guard begins else { return }
        Task {
            while true {
                let isDone = await tellAll()
                let goesOn = state.withLock { state in
                    let goesOn = state.cameMeanwhile || !isDone
                    state.cameMeanwhile = false
                    state.isAtWork = goesOn
                    return goesOn
                }
                guard goesOn else { return }
                if !isDone { try? await Task.sleep(for: .seconds(5)) }
            }
        }
    }

    /// False where something keeps some from being told.
    private func tellAll() async -> Bool {
        var isDone = true
        var after: Int64 = 0
        while let calls = try? await queue.untoldDeadLetters(after: after), let last = calls.last {
            after = last.sequence
            for call in calls {
                do { try await tell(call) } catch { isDone = false }
            }
        }
        return isDone
    }

    private func tell(_ call: QueuedCall) async throws {
        guard let function = catalog.function(call.functionId) else { return try await queue.setTold(call, with: nil) }
        var letter: NewCall?
        var destination: Deployed?
        if let name = function.spec?.asynchronous?.deadLetter {
            destination = catalog.function(named: name.description[...])
            if let destination, destination.mayBeCalled(by: function.name) {
                letter = try await self.letter(for: destination, of: call, function)
            } else {
                logs.append(
                    [
                        .platform(
                            "\(name) was not called for the dead letter: it is not there, or does not list \(function.name) among its callers",
                            at: .now, call: call.id)
                    ],
                    to: function.id)
            }
        }
        try await queue.setTold(call, with: letter)
        audit.note(
            AuditEvent(
                .callDead, function.auditScope, outcome: .failed, actor: "function:\(function.id)", request: call.id.text,
                ["problem": call.problem ?? "status-\(call.status ?? 0)", "attempts": "\(call.attempts)"]))
        if letter != nil, let destination { state.withLock { $0.arrived }?(destination.id) }
    }

    private static let field = "casemate-dead-letter"

    private struct Letter: Encodable {
        struct Request: Encodable {
            var method: String
            var path: String
            var query: String
            var contentType: String?
            /// Where it is text.
            var body: String?
            var bodyBase64: String?
            /// It is too long for a letter.
            var bodyOmitted: Bool?
        }

        var callId: String
        var function: String
        var subject: String
        var created: String
        var finished: String?
        var attempts: Int
        var status: Int?
        var problem: String?
        var detail: String?
        var request: Request
    }

    private func letter(for destination: Deployed, of call: QueuedCall, _ function: Deployed) async throws -> NewCall? {
        guard let stored = try await queue.request(call.id) else { return nil }
        let plain = try await keys.key(function.id, function.wrappedDataKey).open(stored.request, .request, of: call.id.text)
        // One for a dead letter is the last: two functions that name each other would write for ever, each time longer.
        guard let request = QueuedRequest(encoded: plain), request.headers.first(name: Self.field) == nil else { return nil }
        let id = CallId()
        let new = QueuedRequest(
            caller: QueuedCaller(.function(function.id, function.name)), method: .POST, path: "/", query: "",
            headers: [
                "content-type": "application/json", "casemate-caller": function.name.description, "x-request-id": id.text,
                Self.field: call.id.text,
            ],
            body: ByteBuffer(bytes: try Self.body(call, function.name, request)), depth: request.depth + 1)
        let sealed = try await keys.key(destination.id, destination.wrappedDataKey).seal(new.encoded, .request, of: id.text)
        let caller = Principal.function(function.id, function.name)
        return NewCall(
            id: id, functionId: destination.id, namespaceId: destination.namespaceId, owner: caller.owner, subject: caller.subject,
            request: sealed, created: .now, rules: destination.spec?.asynchronous ?? AsyncRules(), limits: destination.policy.queue)
    }

    /// In bytes. Written as JSON it may be six times as long.
    private static let longestBody = 1 << 20

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func body(_ call: QueuedCall, _ name: FunctionName, _ request: QueuedRequest) throws -> [UInt8] {
        let bytes = Array(request.body.readableBytesView)
        let isLong = bytes.count > longestBody
        let text = isLong ? nil : String(validating: bytes, as: UTF8.self)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](
            try encoder.encode(
                Letter(
                    callId: call.id.text, function: name.description, subject: call.subject, created: call.created.rfc3339,
                    finished: call.finished?.rfc3339, attempts: call.attempts, status: call.status, problem: call.problem,
                    detail: call.detail,
                    request: Letter.Request(
                        method: request.method.rawValue, path: request.path, query: request.query,
                        contentType: request.headers.first(name: "content-type"), body: text,
                        bodyBase64: text == nil && !isLong ? Data(bytes).base64EncodedString() : nil, bodyOmitted: isLong ? true : nil))))
    }
}
