import ArgumentParser
import AsyncHTTPClient
import CasemateModel
import CasemateStore
import Foundation
import NIOCore
import NIOHTTP1

/// Schedules: what has functions called at which times.
struct ScheduleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schedule", abstract: "Have a function called at certain times.",
        discussion: """
            casemate schedule next '0 6 * * 1-5' --timezone Europe/Berlin
            casemate schedule create plant/report morning --cron '0 6 * * 1-5' --timezone Europe/Berlin --input '{"days": 1}'
            casemate schedule history plant/report morning
            A manifest's triggers are schedules too. Each call is made as the schedule's own: a private function needs no token for it.
            """,
        subcommands: [Next.self, Create.self, List.self, Pause.self, Resume.self, Run.self, History.self, Remove.self])

    struct Item: Decodable {
        var id, name, function, cron, timezone: String
        var paused: Bool
        var next: String?
        var origin: String
    }

    struct Place: ParsableArguments {
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument(help: "The schedule's name or id.") var name: String

        func path() throws -> String {
            guard FunctionLabel(name) != nil || ScheduleId(name) != nil else {
                throw CommandFailure("a schedule has a name like \"morning\": casemate schedule list \(function)", code: 2)
            }
            return "\(function.apiPath)/schedules/\(name)"
        }
    }

    struct Next: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print an expression's next times; asks no server.",
            discussion: """
                Five fields: minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly.
                Where clocks are put forward, a fixed time that does not exist comes at the first moment after the gap; where they are put back,
                a fixed time comes once, the first time. An hour field that begins with * goes by elapsed time instead.
                """)
        @Argument(help: "The expression, in quotes.") var cron: String
        @Option(help: "An IANA time zone.") var timezone = "UTC"
        @Option(help: "How many.") var count = 5
        @Option(help: "From this time on (RFC 3339); default: now.") var from: String?
        @Option(help: "Before this time; then all of them.") var until: String?
        @OptionGroup var output: OutputOptions

        func run() throws {
            let times: ScheduleTimes
            do throws(Problem) { times = try ScheduleTimes(cron: cron, timeZone: timezone) } catch { throw CommandFailure(error) }
            guard (1...10_000_000).contains(count) else { throw CommandFailure("--count is 1 or more", code: 2) }
            var time = try Self.time(from, "--from").map { $0.advanced(byMilliseconds: -1) } ?? .now
            let end = try Self.time(until, "--until")
            var found: [String] = []
            while end != nil || found.count < count, let next = times.next(after: time), end.map({ next < $0 }) ?? true {
                found.append(Self.text(next))
                time = next
            }
            if output.json { return Terminal.write([UInt8](try JSONEncoder().encode(["instants": found])) + [10]) }
            for text in found { Terminal.line(text) }
        }

        private static func time(_ text: String?, _ flag: String) throws -> Timestamp? {
            guard let text else { return nil }
            guard let date = try? Date(text, strategy: .iso8601) else {
                throw CommandFailure("\(flag) is a time like 2026-01-02T03:04:05Z", code: 2)
            }
            return Timestamp(milliseconds: Int64((date.timeIntervalSince1970 * 1000).rounded()))
        }

        /// To the second, as the expression has it.
        private static func text(_ time: Timestamp) -> String { time.rfc3339.replacingOccurrences(of: ".000Z", with: "Z") }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Have a function called at certain times.")
        @OptionGroup var place: Place
        @Option(help: "minute hour day month weekday, or @hourly, @daily, @weekly, @monthly, @yearly.") var cron: String
        @Option(help: "An IANA time zone.") var timezone = "UTC"
        @Option(help: "JSON that it sends; @FILE reads a file.") var input: String?
        @Option(help: "Seconds by which a call may come later, so that many do not come at once.") var jitter = 0
        @Option(help: "What becomes of times that passed unheeded: skip, or once.") var missed = "skip"
        @Option(help: "Nonce of a session made for the service account on whose behalf it runs.") var nonce: String?
        @OptionGroup var output: OutputOptions

        func run() async throws {
            var body: [String: Any] = ["name": place.name, "cron": cron, "timezone": timezone, "jitterSeconds": jitter, "missed": missed]
            if let nonce { body["nonce"] = nonce }
            if let input {
                let data = input.hasPrefix("@") ? FileManager.default.contents(atPath: String(input.dropFirst())) : Data(input.utf8)
                guard let data else { throw CommandFailure("\(input.dropFirst()) can't be read", code: 2) }
                guard let value = try? JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed) else {
                    throw CommandFailure("--input is no JSON", code: 2)
                }
                body["input"] = value
            }
            let bytes = try JSONSerialization.data(withJSONObject: body)
            try await APIClient.with { client in
                let answer = try await client.send(
                    .POST, "\(place.function.apiPath)/schedules", body: .bytes(.init(bytes: bytes)), type: "application/json")
                if output.json { return Terminal.write(answer + [10]) }
                let item = try JSONDecoder().decode(Item.self, from: Data(answer))
                Terminal.line("\(item.function) is called at \(item.cron) in \(item.timezone); next at \(item.next ?? "no time")")
                Terminal.line("  what came of it  casemate schedule history \(item.function) \(item.name)")
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List a function's schedules.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "\(function.apiPath)/schedules")
                if output.json { return Terminal.write(bytes + [10]) }
                let items = try JSONDecoder().decode([String: [Item]].self, from: Data(bytes))["schedules"] ?? []
                Terminal.table(
                    ["NAME", "CRON", "TIMEZONE", "NEXT", "FROM"],
                    items.map { [$0.name, $0.cron, $0.timezone, $0.paused ? "paused" : $0.next ?? "never", $0.origin] })
            }
        }
    }

    struct Pause: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Have it make no calls until it is resumed.")
        @OptionGroup var place: Place
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                _ = try await client.send(.POST, "\(try place.path())/pause")
                try output.done("schedule \(place.name) is paused", ["paused": place.name])
            }
        }
    }

    struct Resume: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Have it make calls again; the times meanwhile are not made up for.")
        @OptionGroup var place: Place
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let item: Item = try await client.json(.POST, "\(try place.path())/resume")
                try output.done("schedule \(place.name) goes on; next at \(item.next ?? "no time")", ["resumed": place.name])
            }
        }
    }

    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Have it make its call now, besides its times.")
        @OptionGroup var place: Place
        @OptionGroup var output: OutputOptions

        private struct Made: Codable { var callId: String }

        func run() async throws {
            try await APIClient.with { client in
                let made: Made = try await client.json(.POST, "\(try place.path())/run")
                try output.done(
                    "call \(made.callId) is accepted; what becomes of it: casemate call show \(place.function) \(made.callId) --wait 60",
                    ["callId": made.callId])
            }
        }
    }

    struct History: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show what became of its times, the newest first.")
        @OptionGroup var place: Place
        @Option(help: "At most.") var limit = 20
        @OptionGroup var output: OutputOptions

        private struct Fire: Decodable {
            var time, outcome: String
            var missed: Int?
            var callId, status: String?
        }

        func run() async throws {
            guard (1...1000).contains(limit) else { throw CommandFailure("--limit is 1 to 1000", code: 2) }
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "\(try place.path())/history?limit=\(limit)")
                if output.json { return Terminal.write(bytes + [10]) }
                let fires = try JSONDecoder().decode([String: [Fire]].self, from: Data(bytes))["fires"] ?? []
                Terminal.table(
                    ["TIME", "OUTCOME", "MISSED", "CALL", "STATE"],
                    fires.map { [$0.time, $0.outcome, $0.missed.map { "\($0)" } ?? "", $0.callId ?? "", $0.status ?? ""] })
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove a schedule; its calls stay.")
        @OptionGroup var place: Place
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                _ = try await client.send(.DELETE, try place.path())
                try output.done("schedule \(place.name) is gone", ["removed": place.name])
            }
        }
    }
}
