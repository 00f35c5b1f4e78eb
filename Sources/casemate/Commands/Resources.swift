import ArgumentParser
import CasemateModel
import Foundation
import NIOHTTP1

/// `--json`: the API's answer as it came.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print the server's answer as JSON.")
    var json = false

    /// For operations whose answer is empty.
    func done(_ text: String, _ object: [String: String]) throws {
        guard json else { return Terminal.line(text) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        Terminal.write([UInt8](try encoder.encode(object)) + [10])
    }
}

extension FunctionLabel: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

/// `namespace/function` on the command line.
extension FunctionName: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

extension NamespaceName: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

extension VariableName: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

extension FunctionName {
    var apiPath: String { "/v1/namespaces/\(namespace)/functions/\(function)" }
}

struct NamespaceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "namespace", abstract: "Make, list and delete namespaces, the boundary between tenants.",
        subcommands: [Create.self, List.self, Delete.self])

    struct Item: Decodable {
        var name: String
        var created: String
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a namespace.")
        @Argument(help: "1 to 63 of a-z, 0-9 and -.") var name: NamespaceName
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.POST, "/v1/namespaces", body: ["name": name.text])
                if output.json { Terminal.write(bytes + [10]) } else { Terminal.line("namespace \(name) is there") }
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List namespaces.")
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "/v1/namespaces")
                if output.json { return Terminal.write(bytes + [10]) }
                let items = try JSONDecoder().decode([String: [Item]].self, from: Data(bytes))["namespaces"] ?? []
                Terminal.table(["NAME", "CREATED"], items.map { [$0.name, $0.created] })
            }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Delete an empty namespace, and its tokens.")
        @Argument var name: NamespaceName
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                _ = try await client.send(.DELETE, "/v1/namespaces/\(name)")
                try output.done("namespace \(name) is gone", ["deleted": name.text])
            }
        }
    }
}

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show how the server is.")
    @OptionGroup var output: OutputOptions

    struct View: Decodable {
        var version: String
        var warden: String
        var functions: Int
        var warmSandboxes: Int
        var calls: Int
        var coldStarts: Int
        var refused: Int
        var failed: Int
        var redactions: Int
    }

    func run() async throws {
        try await APIClient.with { client in
            let bytes = try await client.jsonBytes(.GET, "/v1/status")
            if output.json { return Terminal.write(bytes + [10]) }
            let view = try JSONDecoder().decode(View.self, from: Data(bytes))
            Terminal.line("Casemate \(view.version) at \(client.configuration.url)")
            Terminal.line("  warden          \(view.warden)")
            Terminal.line("  functions       \(view.functions)")
            Terminal.line("  warm sandboxes  \(view.warmSandboxes)")
            Terminal.line(
                "  calls           \(view.calls) (\(view.coldStarts) cold starts, \(view.failed) failed, \(view.refused) refused)")
            Terminal.line("  redactions      \(view.redactions)")
        }
    }
}

struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Check this host, and say what to do about what is missing.")
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let checks = HostCheck.run()
        if output.json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
            Terminal.write([UInt8](try encoder.encode(checks)) + [10])
        } else {
            for check in checks {
                let mark =
                    switch check.verdict {
                    case .good: Terminal.coloured("ok     ", .green)
                    case .warning: Terminal.coloured("warning", .yellow)
                    case .missing: Terminal.coloured("MISSING", .red)
                    }
                Terminal.line("\(mark)  \(check.what)  \(check.found)\(check.verdict == .good ? "" : "  → \(check.fix)")")
            }
        }
        if checks.contains(where: { $0.verdict == .missing }) { throw CommandFailure("") }
    }
}

struct RuntimeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runtime", abstract: "Install, list and remove runtimes on this host.",
        subcommands: [Install.self, List.self, Remove.self])

    struct Install: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a runtime's root file system from Debian's packages (root).")
        @Argument(help: "python3.11") var name: String
        @Flag(help: "Also when it is installed already: takes newer packages.") var again = false
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let installer = RuntimeInstaller()
            if again || !installer.isInstalled(name) {
                Terminal.step("installing runtime \(name)")
                try installer.install(name)
            }
            if let installation = Installation.find() { try HostSetup.tools(installation) }
            try output.done("runtime \(name) is installed", ["installed": name])
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List runtimes.")
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let found = RuntimeInstaller().installed
            if output.json {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys]
                return Terminal.write([UInt8](try encoder.encode(found.map { ["name": $0.name, "folder": $0.folder] })) + [10])
            }
            Terminal.table(["NAME", "FOLDER"], found.map { [$0.name, $0.folder] })
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove a runtime (root). Running sandboxes keep it until they end.")
        @Argument var name: String
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try RuntimeInstaller().remove(name)
            try output.done("runtime \(name) is gone", ["removed": name])
        }
    }
}
