import ArgumentParser
import CasemateDeploy
import CasemateModel
import Foundation
import NIOCore
import NIOHTTP1

struct DepsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deps", abstract: "Lock, show and upgrade the packages that a function has.",
        subcommands: [DepsLock.self, Upgrade.self, Show.self])

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print the lock of what is live.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName

        private struct View: Decodable { var revisions: [Revision] }
        private struct Revision: Decodable {
            var isActive: Bool
            var lock: String?
        }

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, function.apiPath)
                let view = try JSONDecoder().decode(View.self, from: Data(bytes))
                guard let active = view.revisions.first(where: \.isActive) else {
                    throw CommandFailure("\(function) has not been deployed yet")
                }
                Terminal.write([UInt8]((active.lock ?? "# no packages\n").utf8))
            }
        }
    }

    struct Upgrade: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lock packages anew: those of what is live, or those of a source folder.",
            discussion: """
                Of NAMESPACE/FUNCTION the live source is locked anew and deployed, after the same checks as ever; what it pins stays as it is \
                pinned. Exits 1 when the gate or the handler refuses what came of it; the revision before then still serves.
                Of a folder pylock.toml is written anew, and lines of requirements.txt or pyproject.toml that hold a package at a version with \
                advisories (--advisories) are rewritten. Nothing is changed when that fails.
                Prints which packages change, and which advisories that ends.
                """)
        @Argument(help: "NAMESPACE/FUNCTION, or a source folder.") var target: String
        @Option(name: .customLong("package"), help: "Only this package, and what it needs. Several times for several.")
        var packages: [String] = []
        @Flag(help: "Only show what would change.") var dryRun = false
        @OptionGroup var folder: SourceLock.Options
        @OptionGroup var output: OutputOptions

        private struct Body: Encodable {
            var packages: [String]?
            var dryRun: Bool
        }

        private struct View: Decodable {
            var status: String
            var revision: Int?
            var problem: String?
            var diagnostics: [Diagnostic]
            var packages: ListChange<String>?
            var fixed: [Diagnostic]?
        }

        func run() async throws {
            var isFolder: ObjCBool = false
            if FileManager.default.fileExists(atPath: target, isDirectory: &isFolder), isFolder.boolValue {
                for path in try SourceLock.folders(target) {
                    try SourceLock(folder: path, options: folder, upgrade: packages.isEmpty ? ["*"] : packages).run(
                        writing: !dryRun, output)
                }
                return
            }
            guard let function = FunctionName(target) else {
                throw CommandFailure("\(target) is neither NAMESPACE/FUNCTION nor a folder", code: 2)
            }
            guard folder.advisories == nil else {
                throw CommandFailure("the server has its own advisories; --advisories is for a source folder", code: 2)
            }
            try await upgrade(function)
        }

        private func upgrade(_ function: FunctionName) async throws {
            try await APIClient.with { client in
                Terminal.step("locking, building and scanning in a sandbox")
                let body = Body(packages: packages.isEmpty ? nil : packages, dryRun: dryRun)
                let bytes = try await client.jsonBytes(.POST, function.apiPath + "/upgrade", body: body, timeout: .seconds(1800))
                let view = try JSONDecoder().decode(View.self, from: Data(bytes))
                if output.json { Terminal.write(bytes + [10]) } else { show(view, of: function) }
                if view.status == "failed" { throw CommandFailure("") }
            }
        }

        private func show(_ view: View, of function: FunctionName) {
            switch view.status {
            case "deployed":
                Terminal.line("\(Terminal.coloured("upgraded", .green)) \(function), which runs revision \(view.revision ?? 0) now")
            case "planned": Terminal.line("would upgrade \(function)")
            case "unchanged": Terminal.line("\(function) has the newest packages that its source allows")
            default:
                Terminal.line(
                    "\(Terminal.coloured("failed", .red)) \(function): \(Terminal.visible(view.problem ?? "")); revision \(view.revision ?? 0) still serves"
                )
            }
            PackageText.show(view.packages)
            PackageText.show(fixed: view.fixed ?? [])
            FindingText.show(view.diagnostics, of: function.description)
        }
    }
}

/// Changes of a lock, a line for each package.
enum PackageText {
    static func show(fixed findings: [Diagnostic]) {
        for finding in findings {
            Terminal.line("  \(Terminal.coloured("fixes", .green)) \(Terminal.visible(finding.what))")
        }
    }

    static func show(_ change: ListChange<String>?) {
        guard let change else { return }
        func split(_ text: String) -> (name: String, version: String) {
            let parts = text.split(separator: " ", maxSplits: 1).map(String.init)
            return (parts[0], parts.count > 1 ? parts[1] : "")
        }
        let (before, after) = (change.removed.map(split), change.added.map(split))
        for (name, version) in after {
            if let old = before.first(where: { $0.name == name }) {
                Terminal.line(Terminal.visible("  \(name) \(old.version) -> \(version)"))
            } else {
                Terminal.line(Terminal.coloured("  + \(name) \(version)", .green))
            }
        }
        for (name, version) in before where !after.contains(where: { $0.name == name }) {
            Terminal.line(Terminal.coloured("  - \(name) \(version)", .red))
        }
    }
}
