import ArgumentParser
import AsyncHTTPClient
import CasemateDeploy
import CasemateModel
import Foundation
import NIOCore
import NIOHTTP1

struct EgressCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "egress", abstract: "Show and change what a function may reach.",
        discussion: """
            Without an entry there is no network. Entries stand in the manifest, or are allowed here: for tools whose manifests have no such
            field, and before the first deployment.
              casemate egress plant/score                          what is allowed, what was used, what was refused
              casemate egress allow plant/score api.example.com:443
            """,
        subcommands: [Show.self, Allow.self, Revoke.self], defaultSubcommand: Show.self)

    struct View: Decodable {
        struct Allowed: Decodable {
            var target: String
            var source: String
            var createdBy: String?
            var warning: String?
        }

        struct Used: Decodable {
            var target: String
            var connections: Int
            var bytesOut: Int
            var bytesIn: Int
            var last: String
        }

        struct Refused: Decodable {
            var target: String
            var reason: String
            var count: Int
            var last: String
        }

        var development: Bool
        var allowed: [Allowed]
        var used: [Used]
        var refused: [Refused]
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what a function may reach, what it used and what it was refused since the server started.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Flag(help: "Print what was refused as a manifest's entry; for namespaces whose policy says development.") var suggest = false
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, function.apiPath + "/egress")
                let view = try JSONDecoder().decode(View.self, from: Data(bytes))
                if suggest { return try suggest(view) }
                if output.json { return Terminal.write(bytes + [10]) }
                show(view)
            }
        }

        private func show(_ view: View) {
            if view.allowed.isEmpty {
                Terminal.line("\(function) may reach nothing")
            } else {
                Terminal.table(
                    ["ALLOWED", "BY"],
                    view.allowed.map { [$0.target, $0.createdBy.map { "grant of \(Terminal.visible($0))" } ?? $0.source] })
            }
            for warning in view.allowed.compactMap(\.warning) { Terminal.line(Terminal.coloured("  warning: \(warning)", .yellow)) }
            if !view.used.isEmpty {
                Terminal.line("")
                Terminal.table(
                    ["USED", "CONNECTIONS", "OUT", "IN", "LAST"],
                    view.used.map { [$0.target, "\($0.connections)", "\($0.bytesOut)", "\($0.bytesIn)", $0.last] })
            }
            if !view.refused.isEmpty {
                Terminal.line("")
                Terminal.table(
                    ["REFUSED", "REASON", "TIMES", "LAST"], view.refused.map { [$0.target, $0.reason, "\($0.count)", $0.last] })
            }
        }

        private func suggest(_ view: View) throws {
            guard view.development else {
                throw CommandFailure(
                    "namespace \(function.namespace) is not marked for development; what was refused is not suggested there: add it to the "
                        + "manifest by hand, or mark the namespace: casemate policy set \(function.namespace) FILE, with development: true")
            }
            let wanted = view.refused.filter { $0.reason == "not-allowed" }.compactMap { try? EgressEntry.parse($0.target) }
                .filter { $0.range == nil }
            let known = view.allowed.compactMap { AllowedHost($0.target) }
            let all = Set(
                view.allowed.filter { $0.source == "manifest" }.compactMap { AllowedHost($0.target) }
                    + wanted.filter { !known.contains($0) })
            guard !wanted.isEmpty else { return Terminal.line("# nothing was refused that a manifest could allow") }
            Terminal.line("egress:\n" + all.sorted().map { "  - \"\($0)\"" }.joined(separator: "\n"))
        }
    }

    struct Allow: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a function reach a name.",
            discussion:
                "Belongs to the function's name: it may come before the first deployment, and stays when the function is deployed anew.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument(help: "NAME:PORT, *.NAME:PORT, or ADDRESS:PORT for whoever may egress:ip.") var target: String
        @OptionGroup var output: OutputOptions

        func run() async throws { try await change(.PUT, function, target, output, "may reach") }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take back what was allowed besides the manifest.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument(help: "NAME:PORT, *.NAME:PORT, or ADDRESS:PORT for whoever may egress:ip.") var target: String
        @OptionGroup var output: OutputOptions

        func run() async throws { try await change(.DELETE, function, target, output, "no longer may reach") }
    }

    private struct Grant: Decodable {
        var warning: String?
        var revision: Int?
    }

    private static func change(
        _ method: HTTPMethod, _ function: FunctionName, _ target: String, _ output: OutputOptions, _ verb: String
    ) async throws {
        let host: AllowedHost
        do throws(EgressEntry.Fault) {
            host = try EgressEntry.parse(target)
        } catch {
            throw ValidationError("\(error.what); \(error.fix)")
        }
        try await APIClient.with { client in
            let bytes = try await client.jsonBytes(
                method, "\(function.apiPath)/egress/\(host.description.replacingOccurrences(of: "/", with: "%2F"))")
            if output.json { return Terminal.write(bytes + [10]) }
            let grant = try JSONDecoder().decode(Grant.self, from: Data(bytes))
            Terminal.line("\(function) \(verb) \(host)" + (grant.revision.map { " (revision \($0))" } ?? ""))
            if let warning = grant.warning { Terminal.error("warning: \(warning)") }
        }
    }
}

struct PolicyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy", abstract: "Show and set what holds for all functions of a namespace.", subcommands: [Get.self, Set.self])

    struct Get: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print a namespace's policy as JSON, to be changed and set again.")
        @Argument var namespace: NamespaceName

        func run() async throws {
            try await APIClient.with { client in
                Terminal.write(try await client.jsonBytes(.GET, "/v1/namespaces/\(namespace)/policy") + [10])
            }
        }
    }

    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Set a namespace's policy from a file.",
            discussion: """
                JSON; what is left out goes back to its default:
                  {"development": false, "egress": {"cidrs": ["10.50.0.0/16"], "allow": ["api.example.com:443"]}}
                cidrs: private ranges to which a listed name may lead. allow: names that every function may reach.
                """)
        @Argument var namespace: NamespaceName
        @Argument(help: "The file; - for standard input.") var file: String

        func run() async throws {
            let bytes = file == "-" ? FileHandle.standardInput.readDataToEndOfFile() : FileManager.default.contents(atPath: file)
            guard let bytes else { throw CommandFailure("\(file) can't be read", code: 2) }
            try await APIClient.with { client in
                let answer = try await client.send(
                    .PUT, "/v1/namespaces/\(namespace)/policy", body: .bytes(ByteBuffer(bytes: Array(bytes))), type: "application/json")
                Terminal.write(answer + [10])
            }
        }
    }
}
