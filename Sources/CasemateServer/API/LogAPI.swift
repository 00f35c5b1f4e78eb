import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes
import ServiceLifecycle

extension APIServices {
    var logRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/namespaces/{namespace}/functions/{function}/logs", needs: .right(.logsRead)) { request in
                try request.allowQuery(["after", "call", "limit", "tail", "wait"])
                let function = try await function(try request.functionName())
                let limit = try request.number("limit", default: 1000, in: 1...10_000)
                // A function looks; it does not lie in wait.
                let wait = try request.number("wait", default: 0, in: 0...(request.link == nil ? 30 : 0))
                var call: CallId?
                if let text = request.query["call"] {
                    guard let id = CallId(text) else { throw Problem(.invalidRequest, "call must be a call's id") }
                    call = id
                }
                // Whoever follows asks again every few seconds: that is one look.
                if looks.isFirst(by: request.principal.identity, at: function.id) {
                    let event = AuditEvent(.logsRead, function.auditScope)
                    audit.note(AuditContext.current?.completing(event) ?? event)
                }
                if request.query["tail"] != nil {
                    let found = await logs.tail(function.id, count: try request.number("tail", default: 100, in: 0...10_000), call: call)
                    return .json(LogPage(found.lines, cursor: found.cursor))
                }
                var after = UInt64(try request.number("after", default: 0, in: 0...Int.max))
                let end = ContinuousClock.now + .seconds(wait)
                var round = 0
                while true {
                    let found = await logs.read(function.id, after: after, call: call, limit: limit)
                    if !found.lines.isEmpty || ContinuousClock.now >= end || Task.isShuttingDownGracefully {
                        return .json(LogPage(found.lines, cursor: found.cursor))
                    }
                    // What was looked through has nothing of it.
                    after = found.cursor
                    try await Task.sleep(for: .milliseconds(200))
                    // Whoever follows loses sight with the right, not with the next request.
                    round += 1
                    if round % 5 == 0 { try await request.stillMay() }
                }
            }
        ]
    }
}

struct LogPage: Encodable, Sendable {
    struct Line: Encodable, Sendable {
        var time: String
        var stream: String
        var callId: String?
        var message: String
    }

    var lines: [Line]
    /// Give it back as `after` to go on.
    var cursor: UInt64

    init(_ lines: [LogLine], cursor: UInt64) {
        self.lines = lines.map { line in
            Line(
                time: line.time.rfc3339, stream: line.stream.name, callId: line.call?.text,
                message: String(decoding: line.message, as: UTF8.self))
        }
        self.cursor = cursor
    }
}
