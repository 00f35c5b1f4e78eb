import ArgumentParser
import AsyncHTTPClient
import CasemateModel
import Foundation
import Glibc
import NIOCore
import NIOHTTP1

struct FunctionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "function", abstract: "List, show, delete and roll back functions, and see their revisions.",
        subcommands: [
            List.self, Show.self, Delete.self, Rollback.self, SplitCalls.self, Diff.self, Statement.self, Pin.self, Unpin.self, Source.self,
            Disable.self,
            Enable.self,
        ])

    struct Item: Decodable {
        struct Revision: Decodable {
            var number: Int
            var isActive: Bool
            var bundleDigest: String
            var created: String
            var createdBy: String
            var state: String?
            var digest: String?
            var signedBy: DeploymentSigner?
            var isPinned: Bool?
            var findings: [Diagnostic]?
        }

        struct Split: Decodable {
            var revision: Int
            var percent: Int
            var returnAbove: Int?
        }

        var namespace: String
        var name: String
        var url: String
        var access: String?
        var runtime: String?
        var signature: String?
        var activeRevision: Int?
        var updated: String
        var secrets: [String]?
        var secretsInResponse: String?
        var disabled: String?
        var git: GitSource?
        var split: Split?
        var revisions: [Revision]?
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List a namespace's functions.")
        @Argument var namespace: NamespaceName
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "/v1/namespaces/\(namespace)/functions")
                if output.json { return Terminal.write(bytes + [10]) }
                let items = try JSONDecoder().decode([String: [Item]].self, from: Data(bytes))["functions"] ?? []
                Terminal.table(
                    ["NAME", "REVISION", "ACCESS", "RUNTIME", "UPDATED"],
                    items.map {
                        [
                            "\($0.namespace)/\($0.name)", $0.activeRevision.map(String.init) ?? "-", $0.access ?? "-", $0.runtime ?? "-",
                            $0.updated,
                        ]
                    })
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a function with its revisions and the names of its secrets.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, function.apiPath)
                if output.json { return Terminal.write(bytes + [10]) }
                let item = try JSONDecoder().decode(Item.self, from: Data(bytes))
                Terminal.line("\(item.namespace)/\(item.name)  \(item.url)")
                if let why = item.disabled { Terminal.line("  \(Terminal.coloured("disabled", .red))   \(Terminal.visible(why))") }
                Terminal.line("  access     \(item.access ?? "-")")
                Terminal.line("  runtime    \(item.runtime ?? "-")  signature \(item.signature ?? "-")")
                if let git = item.git {
                    Terminal.line(Terminal.visible("  source     \(git.url) at \(git.commit ?? git.ref)"))
                }
                let mode = item.secretsInResponse == "allow" ? "  (it may answer with them)" : ""
                Terminal.line("  secrets    \((item.secrets ?? []).joined(separator: ", "))\(mode)")
                if let split = item.split {
                    let limit = split.returnAbove.map { ", until more than \($0) % of them fail" } ?? ""
                    Terminal.line("  split      revision \(split.revision) runs \(split.percent) of a hundred calls\(limit)")
                }
                Terminal.table(
                    ["", "REVISION", "STATE", "BUNDLE", "CREATED", "BY"],
                    (item.revisions ?? []).map {
                        [
                            $0.isActive ? "→" : "", "\($0.number)", ($0.state ?? "") + ($0.isPinned == true ? ", pinned" : ""),
                            String($0.bundleDigest.prefix(19)), $0.created, Terminal.visible($0.createdBy),
                        ]
                    })
                FindingText.show((item.revisions ?? []).first(where: \.isActive)?.findings ?? [], of: function.description)
            }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Delete a function with its revisions, secrets, tokens and logs.",
            discussion: "Its data key is deleted with it: what is left of its secrets in this database can't be opened again.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                _ = try await client.send(.DELETE, function.apiPath)
                try output.done("\(function) is gone", ["deleted": function.description])
            }
        }
    }

    struct Source: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Fetch the source that a revision was made from, as a zip archive.",
            discussion: "Takes the right source:read, which no other right implies.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Option(help: "Its number; default: the active one.") var revision: Int?
        @Option(name: [.short, .long], help: "The file to write; - for standard output.") var output: String

        func run() async throws {
            try await APIClient.with { client in
                let query = revision.map { "?revision=\($0)" } ?? ""
                let bytes = try await client.send(.GET, function.apiPath + "/source" + query, limit: 128 << 20)
                if output == "-" { return Terminal.write(bytes) }
                do {
                    try Data(bytes).write(to: URL(fileURLWithPath: output), options: .withoutOverwriting)
                } catch {
                    throw CommandFailure("\(output) could not be written; it may exist already", code: 2)
                }
                Terminal.error("\(bytes.count) bytes to \(output)")
            }
        }
    }

    struct Rollback: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make an earlier revision the active one.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Option(help: "Its number; default: the one before the active.") var revision: Int?
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(
                    .POST, function.apiPath + "/rollback", body: revision.map { ["revision": $0] } ?? [:])
                if output.json { return Terminal.write(bytes + [10]) }
                let item = try JSONDecoder().decode(Item.Revision.self, from: Data(bytes))
                Terminal.line("\(function) runs revision \(item.number) again")
            }
        }
    }
}
