import CasemateDeploy
import CasemateIdentity
import CasemateInvoke
import CasemateModel
import CasemateSchema
import CasemateStore
import CasemateVault
import Foundation
import HTTPTypes

/// Schedules: what has a function called at which times.
extension APIServices {
    private static var path: String { "/v1/namespaces/{namespace}/functions/{function}/schedules" }
    private static var one: String { path + "/{schedule}" }

    var scheduleRoutes: [APIRoute] {
        [
            APIRoute(.get, Self.path, needs: .right(.functionRead)) { request in
                try request.allowQuery([])
                let function = try await function(try request.functionName())
                return .json(ScheduleList(schedules: try await views(of: function)))
            },
            APIRoute(.post, Self.path, needs: .right(.scheduleWrite)) { request in
                let body = try Self.newSchedule(try await request.body(limit: Schedule.mostInputBytes + 16_384))
                return .json(try await create(body, request), status: .created)
            },
            APIRoute(.get, Self.one, needs: .right(.functionRead)) { request in
                try request.allowQuery([])
                let (function, schedule) = try await schedule(request)
                return .json(await view(schedule, function))
            },
            APIRoute(.delete, Self.one, needs: .right(.scheduleWrite)) { try await delete($0) },
            APIRoute(.post, Self.one + "/pause", needs: .right(.scheduleWrite)) { try await setPaused(true, $0) },
            APIRoute(.post, Self.one + "/resume", needs: .right(.scheduleWrite)) { try await setPaused(false, $0) },
            APIRoute(.post, Self.one + "/run", needs: .right(.scheduleWrite)) { request in
                let (function, schedule) = try await schedule(request)
                try request.require(.functionInvoke, on: function.resource, for: "to have it called now")
                try await audited(AuditEvent(.scheduleRun, function.auditScope, ["schedule": schedule.name.text]))
                let call = try await scheduler.runNow(schedule.id)
                return .json(ScheduleRun(callId: call.text), status: .accepted)
            },
            APIRoute(.get, Self.one + "/history", needs: .right(.logsRead)) { request in
                try request.allowQuery(["limit"])
                let (_, schedule) = try await schedule(request)
                let fires = try await queue.fires(of: schedule.id, limit: try request.number("limit", default: 50, in: 1...1000))
                return .json(FireList(fires: fires.map { FireView($0.fire, $0.state) }))
            },
        ]
    }

    /// Apart from the function that awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func newSchedule(_ bytes: [UInt8]) throws -> NewSchedule { try StrictJSON.decode(bytes) }

    /// By its id or its name.
    private func schedule(_ request: APIRequest) async throws -> (Function, Schedule) {
        let function = try await function(try request.functionName())
        let text = request.parameter("schedule")
        let found = try await records.read { try $0.schedules(of: function.id) }.first { $0.id.text == text || $0.name.text == text }
        guard let found else { throw Problem(.notFound, "\(function.name) has no such schedule") }
        return (function, found)
    }

    private func view(_ schedule: Schedule, _ function: Function) async -> ScheduleView {
        ScheduleView(schedule, function.name, next: await scheduler.next(of: schedule.id))
    }

    private func views(of function: Function) async throws -> [ScheduleView] {
        var views: [ScheduleView] = []
        for schedule in try await records.read({ try $0.schedules(of: function.id) }) { views.append(await view(schedule, function)) }
        return views
    }

    private func create(_ body: NewSchedule, _ request: APIRequest) async throws -> ScheduleView {
        let function = try await function(try request.functionName())
        guard let name = FunctionLabel(body.name) else {
            throw Problem(.invalidName, "a schedule's name is 1 to 63 of a-z, 0-9 and -, and starts and ends with a letter or digit")
        }
        let times = try ScheduleTimes(cron: body.cron, timeZone: body.timezone ?? "UTC")
        let jitter = body.jitterSeconds ?? 0
        guard Schedule.jitterRange.contains(jitter) else {
            throw Problem(.invalidSchedule, "jitterSeconds: 0 to \(Schedule.jitterRange.upperBound)")
        }
        guard let missed = Schedule.Missed(rawValue: body.missed ?? "skip") else {
            throw Problem(.invalidSchedule, "missed: skip, or once (one call for all times that passed unheeded)")
        }
        // It is called as the schedule's own: whoever may not call it does not get it called.
        try request.require(.functionInvoke, on: function.resource, for: "to have a function called")
        let account = try account(of: body, request, function)
        let id = ScheduleId()
        let input = try await sealed(body, id, function)
        let schedule = Schedule(
            id: id, functionId: function.id, name: name, cron: times.cron, timeZone: times.timeZone, jitterInSeconds: jitter,
            missed: missed,
            isPaused: false, input: input, account: account, isOfManifest: false, created: .now, createdBy: request.principal.subject)
        try await records.write { transaction in
            try request.require(.scheduleWrite, on: function.resource, for: "this")
            guard try transaction.function(function.id) != nil else { throw Problem.unknown(function.name) }
            let others = try transaction.schedules(of: function.id)
            guard !others.contains(where: { $0.name == name }) else {
                throw Problem(.conflict, "\(function.name) has a schedule \(name) already")
            }
            guard others.count < Schedule.mostOfFunction else {
                throw Problem(.conflict, "\(function.name) has \(Schedule.mostOfFunction) schedules already")
            }
            guard try transaction.scheduleCount(in: function.namespaceId) < Schedule.mostOfNamespace else {
                throw Problem(.conflict, "the namespace has \(Schedule.mostOfNamespace) schedules already")
            }
            try transaction.insert(schedule)
            transaction.record(
                .scheduleCreated, function.auditScope,
                ["schedule": name.text, "cron": times.cron.description, "timezone": times.timeZone].merging(
                    account.map { ["account": $0.text] } ?? [:]
                ) { $1 })
        }
        try await scheduler.reload(function.id)
        return await view(schedule, function)
    }

    /// On whose behalf its calls run: of a service account whose secret whoever makes it has shown.
    private func account(of body: NewSchedule, _ request: APIRequest, _ function: Function) throws(Problem) -> AccountId? {
        guard let nonce = body.nonce else { return nil }
        // A key of the account's own is not enough: it may end tomorrow, and the schedule would not.
        guard case .serviceAccount(let account) = try prepared.take(Credential(nonce), by: request.principal), account.key == nil else {
            throw Problem(.invalidSchedule, "a schedule runs for a service account: make the session with its client id and secret")
        }
        let holder = Principal.serviceAccount(account)
        guard credentials.rightsNow(of: holder, isTrusted: { _ in true }).has(.functionInvoke, on: function.resource) else {
            throw Problem(.forbidden, "the service account may not call \(function.name)")
        }
        return account.id
    }

    private func sealed(_ body: NewSchedule, _ id: ScheduleId, _ function: Function) async throws -> [UInt8]? {
        let input = body.input?.bytes
        guard (input ?? []).count <= Schedule.mostInputBytes else {
            throw Problem(.tooLarge, "a schedule's input is at most \(Schedule.mostInputBytes) bytes")
        }
        if let refusal = try await inputSchema(of: function)?.refusal(ofSchedule: input ?? []) {
            throw Problem(.invalidSchedule, "the function would refuse its calls: \(refusal.what)", pointer: refusal.pointer)
        }
        guard let input else { return nil }
        do throws(VaultError) {
            return try await callKeys.key(function.id, function.wrappedDataKey).seal(input, .input, of: id.text)
        } catch { throw error.problem }
    }

    /// What its calls have to bring, as it is now.
    private func inputSchema(of function: Function) async throws -> InputSchemas? {
        let active = try await records.read { transaction in try function.activeRevision.flatMap { try transaction.revision($0) } }
        return try active.flatMap { try CanonicalSpec.decode($0.specBytes).inputSchema }
    }

    private func delete(_ request: APIRequest) async throws -> APIResponse {
        let (function, schedule) = try await schedule(request)
        guard !schedule.isOfManifest else {
            throw Problem(.conflict, "the schedule stands in the manifest: take it out there and deploy, or pause it")
        }
        try await records.write { transaction in
            guard try transaction.delete(schedule.id) else { throw Problem(.notFound, "\(function.name) has no such schedule") }
            transaction.record(.scheduleDeleted, function.auditScope, ["schedule": schedule.name.text])
        }
        try await scheduler.reload(function.id)
        return .noContent
    }

    private func setPaused(_ isPaused: Bool, _ request: APIRequest) async throws -> APIResponse {
        let (function, schedule) = try await schedule(request)
        if schedule.isPaused == isPaused {
            AuditContext.current?.changedNothing()
        } else {
            try await records.write { transaction in
                try transaction.setPaused(isPaused, schedule.id)
                transaction.record(isPaused ? .schedulePaused : .scheduleResumed, function.auditScope, ["schedule": schedule.name.text])
            }
            try await scheduler.reload(function.id, resumed: isPaused ? nil : schedule.id)
        }
        let (_, now) = try await self.schedule(request)
        return .json(await view(now, function))
    }
}

struct NewSchedule: StrictDecodable {
    static let fields: Set<String> = ["cron", "input", "jitterSeconds", "missed", "name", "nonce", "timezone"]
    var name: String
    var cron: String
    var timezone: String?
    /// What it sends: any JSON.
    var input: AnyJSON?
    var jitterSeconds: Int?
    var missed: String?
    /// Of a session made for a service account.
    var nonce: String?
}

struct ScheduleList: Encodable, Sendable { var schedules: [ScheduleView] }
struct ScheduleRun: Encodable, Sendable { var callId: String }
struct FireList: Encodable, Sendable { var fires: [FireView] }

struct ScheduleView: Encodable, Sendable {
    var id: String
    var name: String
    var function: String
    var cron: String
    var timezone: String
    var jitterSeconds: Int
    var missed: String
    var paused: Bool
    /// When it makes its next call; nil while it is paused.
    var next: String?
    /// The service account on whose behalf its calls run.
    var account: String?
    /// `manifest` or `api`
    var origin: String
    var created: String
    var createdBy: String

    init(_ schedule: Schedule, _ function: FunctionName, next: Timestamp?) {
        id = schedule.id.text
        name = schedule.name.text
        self.function = function.description
        cron = schedule.cron.description
        timezone = schedule.timeZone
        jitterSeconds = schedule.jitterInSeconds
        missed = schedule.missed.rawValue
        paused = schedule.isPaused
        self.next = next?.rfc3339
        account = schedule.account?.text
        origin = schedule.isOfManifest ? "manifest" : "api"
        created = schedule.created.rfc3339
        createdBy = schedule.createdBy
    }
}

struct FireView: Encodable, Sendable {
    var time: String
    /// `fired`, `skipped` (it passed unheeded) or `refused` (no call was accepted).
    var outcome: String
    /// Times before it that passed unheeded; for a skipped one, itself among them.
    var missed: Int?
    var callId: String?
    /// Of the call, while that is kept.
    var status: CallState?

    init(_ fire: Fire, _ state: CallState?) {
        time = fire.instant.rfc3339
        outcome = fire.outcome.rawValue
        missed = fire.missed > 0 ? fire.missed : nil
        callId = fire.call?.text
        status = state
    }
}
