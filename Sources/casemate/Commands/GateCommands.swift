import ArgumentParser
import CasemateDeploy
import CasemateModel
import Foundation
import NIOHTTP1

/// `NS/FN#FINDING`, as a deployment shows it.
struct FindingReference: ExpressibleByArgument {
    let function: FunctionName
    let finding: FindingId

    init?(argument: String) {
        let parts = argument.split(separator: "#", omittingEmptySubsequences: false)
        guard parts.count == 2, let function = FunctionName(String(parts[0])), let finding = FindingId(parts[1]) else { return nil }
        self.function = function
        self.finding = finding
    }
}

struct WaiveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "waive", abstract: "Let one finding of the gate pass, for a time and for a reason.",
        discussion: """
            casemate waive plant/hello#3fa9c2d10b7e --reason "test data only" --expires 14d
            Takes the right gate:waive; who waived what and why is recorded. When it ends, the finding stops deployments again.
            """)
    @Argument(help: "NAMESPACE/FUNCTION#ID, as casemate deploy and casemate findings show it.") var finding: FindingReference
    @Option(help: "Why it may stay.") var reason: String
    @Option(help: "When it ends: 14d, 12h, 30m, or a time like 2030-01-31T12:00:00Z; 90 days at most.") var expires: String
    @OptionGroup var output: OutputOptions

    private struct Body: Encodable {
        var finding: String
        var reason: String
        var expires: String
    }

    private struct View: Decodable {
        var id: String
        var expires: String
    }

    func run() async throws {
        guard let end = Self.end(expires) else {
            throw CommandFailure("--expires \(expires): give it as 14d, 12h, 30m or 45s, or as a time like 2030-01-31T12:00:00Z", code: 2)
        }
        try await APIClient.with { client in
            let body = Body(finding: finding.finding.text, reason: reason, expires: end)
            let bytes = try await client.jsonBytes(.POST, finding.function.apiPath + "/waivers", body: body)
            if output.json { return Terminal.write(bytes + [10]) }
            let view = try JSONDecoder().decode(View.self, from: Data(bytes))
            Terminal.line("\(finding.function) may be deployed with finding \(finding.finding) until \(view.expires)")
            Terminal.line("  take it back  casemate waiver remove \(finding.function) \(view.id)")
        }
    }

    /// RFC 3339, from a time or what is to go by until then.
    static func end(_ text: String) -> String? {
        if let time = Timestamp(rfc3339: text) { return time.rfc3339 }
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        guard let unit = text.last.flatMap({ units[$0] }), let number = Int64(text.dropLast()), (1...1_000_000).contains(number) else {
            return nil
        }
        return Timestamp.now.advanced(byMilliseconds: number * unit * 1000).rfc3339
    }
}

struct WaiverCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "waiver", abstract: "List and remove what casemate waive lets pass.", subcommands: [List.self, Remove.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List a function's waivers, also those that have ended.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @OptionGroup var output: OutputOptions

        private struct Item: Decodable {
            var id, finding, reason, expires, createdBy: String
            var isInForce: Bool
        }

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, function.apiPath + "/waivers")
                if output.json { return Terminal.write(bytes + [10]) }
                let items = try JSONDecoder().decode([String: [Item]].self, from: Data(bytes))["waivers"] ?? []
                Terminal.table(
                    ["ID", "FINDING", "UNTIL", "BY", "REASON"],
                    items.map {
                        [
                            $0.id, $0.finding, $0.isInForce ? $0.expires : "ended", Terminal.visible($0.createdBy),
                            Terminal.visible($0.reason),
                        ]
                    })
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let a finding pass no more.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument(help: "The waiver's id.") var id: String
        @OptionGroup var output: OutputOptions

        func run() async throws {
            guard WaiverId(id) != nil else { throw CommandFailure("a waiver's id is a UUID: casemate waiver list \(function)", code: 2) }
            try await APIClient.with { client in
                _ = try await client.send(.DELETE, "\(function.apiPath)/waivers/\(id)")
                try output.done("waiver \(id) is gone", ["deleted": id])
            }
        }
    }
}

struct FindingsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "findings", abstract: "Show what the gate knows of a function: of what is live, and of what was refused last.")
    @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
    @OptionGroup var output: OutputOptions

    private struct View: Decodable {
        var revision: Int?
        var disabled: String?
        var active: [Diagnostic]?
        var refused: [Diagnostic]?
        var refusedAt: String?
    }

    func run() async throws {
        try await APIClient.with { client in
            let bytes = try await client.jsonBytes(.GET, function.apiPath + "/findings")
            if output.json { return Terminal.write(bytes + [10]) }
            let view = try JSONDecoder().decode(View.self, from: Data(bytes))
            if let why = view.disabled { Terminal.line(Terminal.coloured("disabled", .red) + ": \(Terminal.visible(why))") }
            if let revision = view.revision {
                Terminal.line("revision \(revision), which is live: \((view.active ?? []).count) finding(s)")
                FindingText.show(view.active ?? [], of: function.description)
            }
            if let refused = view.refused {
                Terminal.line("refused at \(view.refusedAt ?? "?"): \(refused.count) finding(s)")
                FindingText.show(refused, of: function.description)
            }
        }
    }
}

struct SBOMCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sbom", abstract: "Print the packages of a function's revision as a CycloneDX 1.6 document.")
    @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
    @Option(help: "Its number; default: the one that is live.") var revision: Int?

    func run() async throws {
        try await APIClient.with { client in
            let bytes = try await client.jsonBytes(.GET, function.apiPath + "/sbom" + (revision.map { "?revision=\($0)" } ?? ""))
            Terminal.write(bytes.last == 10 ? bytes : bytes + [10])
        }
    }
}
