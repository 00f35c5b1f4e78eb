import ArgumentParser
import CasemateModel
import Foundation
import NIOHTTP1

struct VaultCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vault", abstract: "Show, rotate, seal and unseal what secrets are stored under.",
        discussion: """
            Each function's secrets are sealed under a data key of its own, and every data key is wrapped by one key-encryption key, which
            a file, a key service or a security module holds (casemate up --kek).
            """,
        subcommands: [Show.self, Rotate.self, Seal.self, Unseal.self], defaultSubcommand: Show.self)

    struct View: Decodable {
        struct Key: Decodable {
            var id: String
            var functions: Int
        }

        struct Rotation: Decodable {
            var phase: String
            var total: Int
            var wrapped: Int
            var key: String?
            var destroyed: Int
            var left: [String]
            var problem: String?
        }

        var state: String
        var activeKey: String?
        var problem: String?
        var providers: [String]
        var keys: [Key]
        var rotation: Rotation?
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "status", abstract: "Show whether the vault is open, and which key wraps how many data keys.")
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "/v1/vault")
                if output.json { return Terminal.write(bytes + [10]) }
                let view = try JSONDecoder().decode(View.self, from: Data(bytes))
                Terminal.line("the vault is \(Terminal.coloured(view.state, view.state == "open" ? .green : .red))")
                if let problem = view.problem { Terminal.line("  \(Terminal.visible(problem))") }
                for place in view.providers { Terminal.line("  provider  \(Terminal.visible(place))") }
                if let key = view.activeKey { Terminal.line("  wraps by  \(key)") }
                if !view.keys.isEmpty {
                    Terminal.line("")
                    Terminal.table(["KEY", "DATA KEYS"], view.keys.map { [$0.id, "\($0.functions)"] })
                }
                if let rotation = view.rotation {
                    Terminal.line("")
                    Terminal.line("last rotation: \(rotation.phase), \(rotation.wrapped) of \(rotation.total) wrapped anew")
                    if let problem = rotation.problem { Terminal.line("  \(Terminal.visible(problem))") }
                }
                if view.rotation?.phase != "running", view.keys.contains(where: { $0.id != view.activeKey && $0.functions > 0 }) {
                    Terminal.line("")
                    Terminal.line("other keys still wrap some of them; to end that: casemate vault rotate")
                }
            }
        }
    }

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a new key-encryption key, wrap every data key anew, and destroy the old one.",
            discussion: """
                Calls go on meanwhile. Backups that were made before can't be opened afterwards without the key of then: make a new backup
                when it is done. Ctrl-C leaves the server at work; see casemate vault status.
                """)
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                var bytes = try await client.jsonBytes(.POST, "/v1/vault/rotate")
                var view = try JSONDecoder().decode(View.self, from: Data(bytes))
                var shown = -1
                while let rotation = view.rotation, rotation.phase == "running" {
                    if rotation.wrapped > shown, rotation.total > 0 {
                        Terminal.step("\(rotation.wrapped) of \(rotation.total) data keys wrapped anew")
                        shown = rotation.wrapped
                    }
                    try await Task.sleep(for: .milliseconds(300))
                    bytes = try await client.jsonBytes(.GET, "/v1/vault")
                    view = try JSONDecoder().decode(View.self, from: Data(bytes))
                }
                if output.json { Terminal.write(bytes + [10]) }
                guard let rotation = view.rotation, rotation.phase == "done" else {
                    throw CommandFailure(
                        "the rotation did not end well: \(Terminal.visible(view.rotation?.problem ?? "see the server's log"))")
                }
                guard !output.json else { return }
                Terminal.line(
                    "\(rotation.wrapped) data keys are wrapped by \(rotation.key ?? "the new key"); \(rotation.destroyed) old keys destroyed"
                )
                for place in rotation.left { Terminal.line("  old keys of \(Terminal.visible(place)) are yours to disable there") }
                Terminal.line("make a new backup now: older ones need the old key")
            }
        }
    }

    struct Seal: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Open no secret from now on, until unseal: also after a restart.",
            discussion:
                "Instances that run go on with what they have. What would have to start with a secret is refused (503 vault-sealed).")
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.POST, "/v1/vault/seal")
                if output.json {
                    Terminal.write(bytes + [10])
                } else {
                    Terminal.line("the vault is sealed; open it again: casemate vault unseal")
                }
            }
        }
    }

    struct Unseal: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let secrets be opened again.")
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.POST, "/v1/vault/unseal")
                if output.json { Terminal.write(bytes + [10]) } else { Terminal.line("the vault is open") }
            }
        }
    }
}
