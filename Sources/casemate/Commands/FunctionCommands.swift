import ArgumentParser
import AsyncHTTPClient
import CasemateModel
import Foundation
import Glibc
import NIOCore
import NIOHTTP1

struct FunctionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "function", abstract: "List, show, delete and roll back functions, and fetch their source.",
        subcommands: [List.self, Show.self, Delete.self, Rollback.self, Source.self])

    struct Item: Decodable {
        struct Revision: Decodable {
            var number: Int
            var isActive: Bool
            var bundleDigest: String
            var created: String
            var createdBy: String
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
                Terminal.line("  access     \(item.access ?? "-")")
                Terminal.line("  runtime    \(item.runtime ?? "-")  signature \(item.signature ?? "-")")
                Terminal.line("  secrets    \((item.secrets ?? []).joined(separator: ", "))")
                Terminal.table(
                    ["", "REVISION", "BUNDLE", "CREATED", "BY"],
                    (item.revisions ?? []).map {
                        [
                            $0.isActive ? "→" : "", "\($0.number)", String($0.bundleDigest.prefix(19)), $0.created,
                            Terminal.visible($0.createdBy),
                        ]
                    })
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

struct SecretCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "secret", abstract: "Set, list and delete secrets. A value is never given back.",
        subcommands: [Set.self, List.self, Delete.self])

    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Set a secret's value, from a prompt or from standard input.",
            discussion: """
                printf %s "$VALUE" | casemate secret set plant/ingest API_KEY
                casemate secret set plant/ingest CERT < cert.pem

                One line feed at the very end of a single line is taken for the shell's and cut. Running instances with the old value are \
                replaced; no call fails meanwhile. A value is never taken from the command line, where other users could read it.
                """)
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument(help: "The name the function reads.") var name: VariableName
        @OptionGroup var output: OutputOptions

        struct View: Decodable {
            var version: Int
            var warnings: [String]
        }

        func run() async throws {
            let value = try Self.read(name)
            try await APIClient.with { client in
                let bytes = try await client.send(
                    .PUT, "\(function.apiPath)/secrets/\(name)", body: .bytes(.init(bytes: value)), type: "application/octet-stream")
                if output.json { return Terminal.write(bytes + [10]) }
                let view = try JSONDecoder().decode(View.self, from: Data(bytes))
                for warning in view.warnings { Terminal.error("warning: \(warning)") }
                Terminal.line("\(function) has \(name), version \(view.version)")
            }
        }

        private static func read(_ name: VariableName) throws -> [UInt8] {
            var value: [UInt8]
            if isatty(0) == 1 {
                value = try NoEcho.prompt("value of \(name) (not shown): ")
            } else {
                value = [UInt8](FileHandle.standardInput.readDataToEndOfFile())
                if value.last == 10, value.dropLast().firstIndex(of: 10) == nil { value.removeLast() }
            }
            guard !value.isEmpty else { throw CommandFailure("the value is empty; nothing was changed", code: 2) }
            guard value.count <= 65_536 else { throw CommandFailure("a secret is at most 65536 bytes", code: 2) }
            return value
        }
    }

    struct Item: Decodable {
        var name: String
        var version: Int
        var updated: String
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the names of a function's secrets.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "\(function.apiPath)/secrets")
                if output.json { return Terminal.write(bytes + [10]) }
                let items = try JSONDecoder().decode([String: [Item]].self, from: Data(bytes))["secrets"] ?? []
                Terminal.table(["NAME", "VERSION", "UPDATED"], items.map { [$0.name, "\($0.version)", $0.updated] })
            }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Delete a secret.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument var name: VariableName
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                _ = try await client.send(.DELETE, "\(function.apiPath)/secrets/\(name)")
                try output.done("\(function) has no \(name) any more", ["deleted": "\(function)/\(name)"])
            }
        }
    }
}

/// A line typed without showing it.
enum NoEcho {
    static func prompt(_ text: String) throws -> [UInt8] {
        var before = termios()
        tcgetattr(0, &before)
        var silent = before
        silent.c_lflag &= ~tcflag_t(ECHO)
        FileHandle.standardError.write(Data(text.utf8))
        tcsetattr(0, TCSAFLUSH, &silent)
        defer {
            tcsetattr(0, TCSAFLUSH, &before)
            FileHandle.standardError.write(Data("\n".utf8))
        }
        guard let line = readLine(strippingNewline: true) else { throw CommandFailure("no value was typed; nothing was changed", code: 2) }
        return Array(line.utf8)
    }
}
