import ArgumentParser
import CasemateDeploy
import CasemateModel
import Foundation

struct ScanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scan", abstract: "Run the gate's checks over a project, without a server.",
        discussion: """
            PATH is a project of any kind: functions with a casemate.yaml, a serverless.yml, Terraform, Kyma manifests, a Toolkit project, \
            handlers for Cognite, an Azure function_app.py. Each finding has its place, its remedy, the guarantee that it breaks, and the line \
            of a casemate.yaml that enforces it. Exits 1 when anything of --fail-on or graver was found.
            """)
    enum Format: String, ExpressibleByArgument, CaseIterable { case text, json, sarif }

    @Argument(help: "A folder.") var path = "."
    @Option(help: "text, json, or sarif (2.1.0).") var format = Format.text
    @Option(help: "The least severity that makes it fail: low, medium, high or critical.") var failOn = FindingDetail.Level.high
    @Option(help: "An archive of advisories, as casemate advisories import takes it; without one packages are held against none.")
    var advisories: String?
    @Flag(help: "Also look for secrets in every commit of the repository, not only in what is there now.") var history = false
    @Flag(help: "Make this the repository's pre-commit hook, and do nothing else.") var installHook = false

    func run() async throws {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
            throw CommandFailure("\(path) is no folder", code: 2)
        }
        let root = URL(fileURLWithPath: path).standardizedFileURL.path
        if installHook { return try PreCommitHook.install(in: root) }
        let gate = try LocalGate()
        let manifest = try LocalManifest(root: root)
        let request = ProjectRequest(
            path: root, sources: manifest.sources, advisories: try advisories.map { try gate.records(of: $0) })
        var found = try Self.findings(try gate.ask(try request.bytes))
        if history { found += try Self.findings(try gate.ask(try HistoryRequest(path: root).bytes)) }
        let all = (manifest.findings + found).sorted(by: Self.isGraver)
        switch format {
        case .text: Self.show(all)
        case .json: Terminal.write(try Self.json(all) + [10])
        case .sarif: Terminal.write(try SARIF.bytes(all) + [10])
        }
        if all.contains(where: { Self.level($0) >= failOn }) { throw CommandFailure("") }
    }

    private static func level(_ diagnostic: Diagnostic) -> FindingDetail.Level {
        diagnostic.finding?.level ?? (diagnostic.severity == .error ? .high : .low)
    }

    private static func isGraver(_ left: Diagnostic, _ right: Diagnostic) -> Bool {
        let (one, other) = (level(left), level(right))
        return one == other ? (left.file, left.line ?? 0) < (right.file, right.line ?? 0) : one > other
    }

    /// Apart from what awaits: together they end Swift 6.3.1's optimiser.
    @inline(never)
    private static func findings(_ bytes: [UInt8]) throws -> [Diagnostic] { try GateReply.local(bytes) }

    @inline(never)
    private static func json(_ findings: [Diagnostic]) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(["findings": findings]))
    }

    private static func show(_ findings: [Diagnostic]) {
        FindingText.show(findings, of: nil)
        let blocking = findings.count { level($0).blocks }
        Terminal.line(
            findings.isEmpty
                ? "nothing was found"
                : "\(findings.count) finding(s), \(blocking) of which would stop a deployment")
    }
}

extension FindingDetail.Level: ExpressibleByArgument {}

/// What is asked of the tools for all that a repository ever held.
private struct HistoryRequest: Encodable {
    let operation = "history"
    let path: String

    var bytes: [UInt8] { get throws { [UInt8](try JSONEncoder().encode(self)) } }
}

/// What is asked of the tools for a project.
private struct ProjectRequest: Encodable {
    let operation = "project"
    let path: String
    let sources: [LocalManifest.Source]
    let advisories: String?

    var bytes: [UInt8] { get throws { [UInt8](try JSONEncoder().encode(self)) } }
}
