import ArgumentParser
import CasemateModel
import Foundation
import NIOHTTP1

struct PostureCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "posture", abstract: "Show which live functions relax a default, or run what is known to be vulnerable.",
        discussion: """
            Red: something grave is live that nobody waived. Amber: a default is relaxed, or something is waived. Green: neither. Exits 1 \
            when anything is red.
            """)
    @Argument(help: "Only of this namespace.") var namespace: NamespaceName?
    @OptionGroup var output: OutputOptions

    private struct View: Decodable {
        var posture: String
        var functions: [Item]
        var warnings: [String]
    }

    private struct Item: Decodable {
        var function: String
        var revision: Int
        var posture: String
        var disabled: String?
        var findings: [Diagnostic]
    }

    func run() async throws {
        try await APIClient.with { client in
            let bytes = try await client.jsonBytes(.GET, namespace.map { "/v1/namespaces/\($0)/posture" } ?? "/v1/posture")
            let view = try JSONDecoder().decode(View.self, from: Data(bytes))
            if output.json { Terminal.write(bytes + [10]) } else { show(view) }
            if view.posture == "red" { throw CommandFailure("") }
        }
    }

    private func show(_ view: View) {
        for warning in view.warnings { Terminal.line(Terminal.coloured("warning", .yellow) + ": \(Terminal.visible(warning))") }
        for item in view.functions {
            let colour: Terminal.Colour = item.posture == "red" ? .red : item.posture == "amber" ? .yellow : .green
            let off = item.disabled.map { "; disabled: \($0)" } ?? ""
            Terminal.line("\(Terminal.coloured(item.posture, colour)) \(item.function) revision \(item.revision)\(Terminal.visible(off))")
            FindingText.show(item.findings, of: item.function)
        }
        if view.functions.isEmpty { Terminal.line("nothing is deployed") }
    }
}
