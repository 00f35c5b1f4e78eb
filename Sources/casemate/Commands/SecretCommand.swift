import ArgumentParser
import AsyncHTTPClient
import CasemateModel
import Foundation
import NIOCore
import NIOHTTP1

struct SecretCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "secret", abstract: "Set, list, compare and delete secrets. A value is never given back.",
        subcommands: [Set.self, List.self, Versions.self, Verify.self, Rollback.self, Delete.self])

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

        func run() async throws {
            let value = try SecretInput.read(name, confirms: true)
            try await APIClient.with { client in
                let bytes = try await client.send(
                    .PUT, "\(function.apiPath)/secrets/\(name)", body: .bytes(.init(bytes: value)), type: "application/octet-stream")
                if output.json { return Terminal.write(bytes + [10]) }
                let view = try JSONDecoder().decode(View.self, from: Data(bytes))
                for warning in view.warnings { Terminal.error("warning: \(warning)") }
                Terminal.line("\(function) has \(name), version \(view.version) (fingerprint \(view.fingerprint))")
            }
        }
    }

    struct View: Decodable {
        var version: Int
        var fingerprint: String
        var warnings: [String]
    }

    struct Item: Decodable {
        var name: String
        var version: Int
        var fingerprint: String
        var updated: String
        var warnings: [String]
    }

    struct All: Decodable {
        var secrets: [Item]
        var references: [SecretReference]
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the names of a function's secrets.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "\(function.apiPath)/secrets")
                if output.json { return Terminal.write(bytes + [10]) }
                let all = try JSONDecoder().decode(All.self, from: Data(bytes))
                guard !all.secrets.isEmpty || !all.references.isEmpty else {
                    return Terminal.error("\(function) has no secrets; to set one: casemate secret set \(function) NAME")
                }
                Terminal.table(
                    ["NAME", "VERSION", "FINGERPRINT", "UPDATED", ""],
                    all.secrets.map { [$0.name, "\($0.version)", $0.fingerprint, $0.updated, $0.warnings.isEmpty ? "" : "weak"] }
                        + all.references.map { [$0.name.text, "-", "-", "-", "from \($0.from)"] })
            }
        }
    }

    struct Versions: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the versions of a secret that are kept.",
            discussion: "What was replaced or deleted is kept for 24 hours: it is still redacted, and can be had back with rollback.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument var name: VariableName
        @OptionGroup var output: OutputOptions

        struct History: Decodable {
            struct Version: Decodable {
                var version: Int
                var fingerprint: String
                var set: String
                var replaced: String?
                var keptUntil: String?
            }

            var versions: [Version]
        }

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "\(function.apiPath)/secrets/\(name)")
                if output.json { return Terminal.write(bytes + [10]) }
                let history = try JSONDecoder().decode(History.self, from: Data(bytes))
                Terminal.table(
                    ["", "VERSION", "FINGERPRINT", "SET", "KEPT UNTIL"],
                    history.versions.map {
                        [$0.replaced == nil ? "→" : "", "\($0.version)", $0.fingerprint, $0.set, $0.keptUntil ?? "-"]
                    })
            }
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Ask whether a secret has the value that you have: from a prompt or standard input.",
            discussion: """
                Exit code 0 where it has, 1 where it has not, 2 where that can't be said. Ten questions in ten minutes are answered, and each is in the audit log.
                """)
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument var name: VariableName
        @OptionGroup var output: OutputOptions

        struct Comparison: Decodable {
            var version: Int
            var matches: Bool
        }

        func run() async throws {
            let value = try SecretInput.read(name, confirms: false)
            try await APIClient.with { client in
                let bytes: [UInt8]
                do {
                    bytes = try await client.send(
                        .POST, "\(function.apiPath)/secrets/\(name)/verify", body: .bytes(.init(bytes: value)),
                        type: "application/octet-stream")
                } catch let failure as CommandFailure {
                    // 1 says that the value is another one.
                    throw CommandFailure(failure.message, code: 2)
                }
                let found = try JSONDecoder().decode(Comparison.self, from: Data(bytes))
                if output.json {
                    Terminal.write(bytes + [10])
                } else if found.matches {
                    Terminal.line("\(name) of \(function), version \(found.version), has this value")
                }
                guard found.matches else {
                    throw CommandFailure(output.json ? "" : "\(name) of \(function), version \(found.version), has another value")
                }
            }
        }
    }

    struct Rollback: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Give a secret an earlier value again, as a new version.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument var name: VariableName
        @Option(help: "Its number; default: the one before.") var version: Int?
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(
                    .POST, "\(function.apiPath)/secrets/\(name)/rollback", body: version.map { ["version": $0] } ?? [:])
                if output.json { return Terminal.write(bytes + [10]) }
                let view = try JSONDecoder().decode(View.self, from: Data(bytes))
                Terminal.line("\(function) has the earlier value of \(name) as version \(view.version) (fingerprint \(view.fingerprint))")
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
