import ArgumentParser
import CasemateModel
import Foundation
import NIOHTTP1

struct AlertCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alert", abstract: "Have events sent to an address as they happen.",
        discussion: """
            casemate alert add --event egress.denied --event 'secret.*' --url https://hooks.example.com/casemate
            Each event is a CloudEvent in JSON, signed as Standard Webhooks has it with the secret that add prints once. What is not taken is
            tried again for a day.
            """,
        subcommands: [Add.self, List.self, Test.self, Remove.self])

    struct Item: Decodable {
        var id: String
        var events: [String]
        var host: String
        var created: String
        var sent: Int
        var problem: String?
        var secret: String?
    }

    struct Place: ParsableArguments {
        @Option(help: "Only events of this namespace; default: of the whole server.") var namespace: NamespaceName?

        var path: String { namespace.map { "/v1/namespaces/\($0)/alerts" } ?? "/v1/alerts" }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Send events of some kinds to an address.")
        @Option(help: "A kind of event, as casemate audit tail shows it; secret.* for all of secret. Several times for several.")
        var event: [String]
        @Option(help: "https://… that takes a POST.") var url: String
        @OptionGroup var place: Place
        @OptionGroup var output: OutputOptions

        struct Body: Encodable {
            var events: [String]
            var url: String
        }

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.POST, place.path, body: Body(events: event, url: url))
                if output.json { return Terminal.write(bytes + [10]) }
                let item = try JSONDecoder().decode(Item.self, from: Data(bytes))
                Terminal.line("alert \(item.id) sends \(item.events.count) kinds of events to \(item.host)")
                Terminal.line("  secret  \(item.secret ?? "")  (shown once: the receiver checks webhook-signature with it)")
                Terminal.line("  try it  casemate alert test \(item.id)\(place.namespace.map { " --namespace \($0)" } ?? "")")
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List alerts, and whether their events are taken.")
        @OptionGroup var place: Place
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, place.path)
                if output.json { return Terminal.write(bytes + [10]) }
                let items = try JSONDecoder().decode([String: [Item]].self, from: Data(bytes))["alerts"] ?? []
                Terminal.table(
                    ["ID", "HOST", "SENT", "STATE", "EVENTS"],
                    items.map {
                        [
                            $0.id, Terminal.visible($0.host), "\($0.sent)", Terminal.visible($0.problem ?? "ok"),
                            $0.events.prefix(3).joined(separator: " ") + ($0.events.count > 3 ? " …" : ""),
                        ]
                    })
            }
        }
    }

    struct Test: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Send a made-up event, once.")
        @Argument(help: "The alert's id.") var id: String
        @OptionGroup var place: Place
        @OptionGroup var output: OutputOptions

        func run() async throws {
            guard AlertId(id) != nil else { throw CommandFailure("an alert's id is a UUID: casemate alert list", code: 2) }
            try await APIClient.with { client in
                _ = try await client.send(.POST, "\(place.path)/\(id)/test")
                try output.done("the address took a test event", ["tested": id])
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Send no more events to an address.")
        @Argument(help: "The alert's id.") var id: String
        @OptionGroup var place: Place
        @OptionGroup var output: OutputOptions

        func run() async throws {
            guard AlertId(id) != nil else { throw CommandFailure("an alert's id is a UUID: casemate alert list", code: 2) }
            try await APIClient.with { client in
                _ = try await client.send(.DELETE, "\(place.path)/\(id)")
                try output.done("alert \(id) is gone", ["deleted": id])
            }
        }
    }
}
