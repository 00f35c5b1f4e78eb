import ArgumentParser
import CasemateModel
import Foundation
import NIOCore
import NIOHTTP1

/// Asynchronous calls: what became of them, and what is to become of them.
struct CallCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "call", abstract: "Look at asynchronous calls, cancel them, make them once more.",
        discussion: """
            casemate call list plant/score --state dead
            casemate call show plant/score ID --wait 30
            casemate call redrive plant/score --all
            """,
        subcommands: [List.self, Show.self, ResultOf.self, Cancel.self, Redrive.self])

    struct Item: Decodable {
        struct Trouble: Decodable {
            var type: String?
            var detail: String?
        }

        var callId: String
        var function: String
        var status: CallState
        var created: String
        var started: String?
        var finished: String?
        var notBefore: String?
        var attempts: Int
        var maxAttempts: Int
        var responseStatus: Int?
        var problem: Trouble?
        var revision: Int?
        var caller: String
        var schedule: String?
        var scheduledTime: String?
        var redriveOf: String?
        var redrivenAs: String?

        /// Why it is not a success; empty for one that is.
        var why: String {
            status == .succeeded ? "" : problem?.detail ?? problem?.type ?? responseStatus.map { "it answered \($0)" } ?? ""
        }

        func show() {
            let colour: Terminal.Colour =
                switch status {
                case .succeeded: .green
                case .queued, .running: .dim
                case .failed, .timedOut, .cancelled, .dead: .red
                }
            Terminal.line("call \(callId) of \(function) is \(Terminal.coloured(status.rawValue, colour))")
            let rows: [(String, String?)] = [
                ("caller", caller), ("created", created), ("not before", notBefore), ("started", started), ("finished", finished),
                ("attempts", "\(attempts) of \(maxAttempts)"), ("revision", revision.map { "\($0)" }),
                ("answered", responseStatus.map { "\($0)" }), ("problem", why.isEmpty ? nil : why),
                ("schedule", schedule.map { "\($0) for \(scheduledTime ?? "?")" }), ("redrive of", redriveOf), ("redriven as", redrivenAs),
            ]
            for (name, value) in rows {
                if let value { Terminal.line("  \(name.padding(toLength: 12, withPad: " ", startingAt: 0))\(Terminal.visible(value))") }
            }
        }
    }

    struct Place: ParsableArguments {
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument(help: "The call's id.") var id: String

        func path() throws -> String {
            guard CallId(id) != nil else { throw CommandFailure("a call's id is a UUID: casemate call list \(function)", code: 2) }
            return "\(function.apiPath)/calls/\(id)"
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List asynchronous calls, the newest first.")
        @Argument(help: "NAMESPACE/FUNCTION, or NAMESPACE for all of its functions.") var place: String
        @Option(help: "queued, running, succeeded, failed, timedOut, cancelled, dead; several with commas.") var state: String?
        @Option(help: "Only those of this schedule.") var schedule: String?
        @Option(help: "Only those made at or after this time (RFC 3339).") var since: String?
        @Option(help: "Only those made before this time.") var until: String?
        @Option(help: "At most.") var limit = 50
        @Option(help: "Go on where a list before ended.") var cursor: String?
        @OptionGroup var output: OutputOptions

        private struct Page: Decodable {
            var calls: [Item]
            var nextCursor: String?
        }

        func run() async throws {
            let base: String
            if let function = FunctionName(place[...]) {
                base = function.apiPath
            } else if let namespace = NamespaceName(place) {
                base = "/v1/namespaces/\(namespace)"
            } else {
                throw CommandFailure("give NAMESPACE/FUNCTION or NAMESPACE", code: 2)
            }
            guard (1...1000).contains(limit) else { throw CommandFailure("--limit is 1 to 1000", code: 2) }
            let query = APIClient.encode(
                ["limit": "\(limit)", "state": state, "schedule": schedule, "since": since, "until": until, "cursor": cursor]
                    .compactMapValues { $0 })
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "\(base)/calls?\(query)")
                if output.json { return Terminal.write(bytes + [10]) }
                let page = try JSONDecoder().decode(Page.self, from: Data(bytes))
                Terminal.table(
                    ["CALL", "FUNCTION", "STATE", "CREATED", "ATTEMPTS", "WHY"],
                    page.calls.map {
                        [
                            $0.callId, $0.function, $0.status.rawValue, $0.created, "\($0.attempts)/\($0.maxAttempts)",
                            Terminal.visible(String($0.why.prefix(60))),
                        ]
                    })
                if let cursor = page.nextCursor { Terminal.line("more: --cursor \(cursor)") }
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what became of a call.", discussion: "Exits 1 where it ended in vain, 3 where it has not ended.")
        @OptionGroup var place: Place
        @Option(help: "Seconds in which it may still end, at most 60.") var wait = 0
        @OptionGroup var output: OutputOptions

        func run() async throws {
            guard (0...60).contains(wait) else { throw CommandFailure("--wait is 0 to 60", code: 2) }
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "\(try place.path())?wait=\(wait)", timeout: .seconds(90))
                let item = try JSONDecoder().decode(Item.self, from: Data(bytes))
                if output.json { Terminal.write(bytes + [10]) } else { item.show() }
                guard item.status != .succeeded else { return }
                throw CommandFailure("", code: item.status.isFinal ? 1 : 3)
            }
        }
    }

    struct ResultOf: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "result", abstract: "Print what a call answered.")
        @OptionGroup var place: Place
        @Option(help: "Seconds in which it may still end, at most 60.") var wait = 0
        @OptionGroup var output: OutputOptions

        private struct Answer: Decodable {
            var status: Int
            var body: String?
            var bodyBase64: String?
        }

        func run() async throws {
            guard (0...60).contains(wait) else { throw CommandFailure("--wait is 0 to 60", code: 2) }
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "\(try place.path())/result?wait=\(wait)", timeout: .seconds(90))
                if output.json { return Terminal.write(bytes + [10]) }
                let answer = try JSONDecoder().decode(Answer.self, from: Data(bytes))
                Terminal.write(
                    answer.body.map { Array($0.utf8) } ?? answer.bodyBase64.flatMap { Data(base64Encoded: $0) }.map { [UInt8]($0) } ?? [])
                if Terminal.isInteractive { Terminal.line("") }
                guard (200..<400).contains(answer.status) else {
                    throw CommandFailure("the call was answered with status \(answer.status)", code: 1)
                }
            }
        }
    }

    struct Cancel: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "End a call that has not ended: it runs no further, or not at all.")
        @OptionGroup var place: Place
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                _ = try await client.send(.POST, "\(try place.path())/cancel")
                try output.done("call \(place.id) is cancelled", ["cancelled": place.id])
            }
        }
    }

    struct Redrive: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have a call that was in vain made once more, for whoever made it.",
            discussion: "It gets an id of its own. One that was redriven already is not made a third time.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument(help: "The call's id.") var id: String?
        @Flag(help: "All dead letters of the function.") var all = false
        @OptionGroup var output: OutputOptions

        private struct Made: Decodable {
            struct Item: Decodable { var callId, redriveOf: String }
            var calls: [Item]
            var more: Bool?
        }

        func run() async throws {
            guard all != (id != nil) else { throw CommandFailure("give a call's id, or --all", code: 2) }
            if let id, CallId(id) == nil { throw CommandFailure("a call's id is a UUID: casemate call list \(function)", code: 2) }
            try await APIClient.with { client in
                var made: [Made.Item] = []
                var goesOn = true
                while goesOn {
                    let path = id.map { "/calls/\($0)/redrive" } ?? "/calls/redrive"
                    let answer: Made = try await client.json(.POST, function.apiPath + path)
                    made += answer.calls
                    goesOn = answer.more == true
                }
                if output.json {
                    return Terminal.write(
                        [UInt8](try JSONEncoder().encode(["calls": made.map { ["callId": $0.callId, "redriveOf": $0.redriveOf] }])) + [10])
                }
                for call in made { Terminal.line("call \(call.redriveOf) is made once more as \(call.callId)") }
                if made.isEmpty { Terminal.line("there are no dead letters") }
            }
        }
    }
}
