import ArgumentParser
import AsyncHTTPClient
import CasemateDeploy
import CasemateModel
import Foundation
import NIOCore
import NIOHTTP1

struct Deploy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Deploy the functions of a casemate.yaml.",
        discussion: """
            PATH is a folder with a casemate.yaml, or the file itself. Each function's source folder is packed (never .env, .git or key files), \
            uploaded, built and scanned in a sandbox, signed, and made active. What has not changed is left as it is. Exits 1 when a \
            function could not be deployed; the revision before then still serves.
            """)
    @Argument(help: "Folder or manifest.") var path = "."
    @Argument(help: ArgumentHelp("With --print-statement: of which function.", visibility: .hidden)) var printed: FunctionLabel?
    @Option(help: "Namespace, where the manifest names none or another.") var namespace: NamespaceName?
    @Flag(help: "Check and show what would be done.") var dryRun = false
    @OptionGroup var signing: SigningOptions
    @OptionGroup var output: OutputOptions

    private struct Request: Encodable {
        var namespace: String?
        var manifest: String
        var file: String
        var sources: [String: String]
        var signatures: [String: String]?
        var dryRun: Bool
        var id: String
    }

    private struct View: Decodable { var functions: [Outcome] }

    private struct Outcome: Decodable {
        var function: String
        var status: String
        var url: String
        var revision: Int?
        var digest: String?
        var needsApproval: [String]?
        var signedBy: DeploymentSigner?
        var stage: String?
        var problem: String?
        var diagnostics: [Diagnostic]
        var output: String?
        var egress: ListChange<AllowedHost>?
        var callers: ListChange<FunctionName>?
        var injected: ListChange<String>?
        var capabilities: ListChange<Capability>?
        var audiences: ListChange<String>?
        var packages: ListChange<String>?
        var git: GitSource?
        var milliseconds: Int
    }

    func run() async throws {
        guard printed == nil || signing.printStatement else { throw CommandFailure("casemate deploy takes one PATH", code: 2) }
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw CommandFailure("\(path) does not exist", code: 2)
        }
        let file = isFolder.boolValue ? (path as NSString).appendingPathComponent("casemate.yaml") : path
        let folder = (file as NSString).deletingLastPathComponent
        guard let data = FileManager.default.contents(atPath: file) else {
            throw CommandFailure("there is no \(file); casemate deploy takes a folder with a casemate.yaml, or the file", code: 2)
        }
        guard data.count <= 1 << 20 else { throw CommandFailure("\(file): the manifest is larger than 1 MiB", code: 2) }
        guard let text = String(data: data, encoding: .utf8) else {
            throw CommandFailure("\(file): the manifest is not UTF-8 text", code: 2)
        }
        let name = (file as NSString).lastPathComponent
        let manifest: Manifest
        do {
            manifest = try ManifestParser.parse(text, file: name)
        } catch {
            throw CommandFailure(
                "the manifest has \(error.diagnostics.count) fault(s)\n" + error.diagnostics.map { "  \($0)" }.joined(separator: "\n"),
                code: 2)
        }
        var archives: [(function: FunctionLabel, source: SourceArchive)] = []
        for function in manifest.functions {
            // What comes from a repository is fetched by the server.
            guard let path = function.source else { continue }
            archives.append(
                (function.label, try SourceArchive(folder: ((folder.isEmpty ? "." : folder) as NSString).appendingPathComponent(path))))
        }
        var signatures: [String: String]?
        if signing.isSigning || signing.printStatement {
            let statements = try statements(manifest, text, archives)
            if signing.printStatement {
                let wanted = statements.filter { statement in printed.map { $0 == statement.function.function } ?? true }
                guard !wanted.isEmpty else { throw CommandFailure("the manifest has no function \(printed?.text ?? "")", code: 2) }
                return wanted.forEach { Terminal.write(Array($0.text.utf8)) }
            }
            signatures = try signing.signatures(of: statements)
        }
        try await APIClient.with { client in
            var sources: [String: String] = [:]
            for (label, source) in archives {
                for name in source.excluded {
                    Terminal.error(Terminal.visible("left out: \(label): \(name) (may hold credentials)"))
                }
                Terminal.step("uploading \(label): \(source.files) file(s), \(source.bytes.count) bytes")
                let answer = try await client.send(
                    .POST, "/v1/archives", body: .bytes(ByteBuffer(bytes: source.bytes)), type: "application/zip", timeout: .seconds(300))
                sources[label.text] = try JSONDecoder().decode(Archive.self, from: Data(answer)).digest
            }
            if !dryRun { Terminal.step("building, scanning and signing in a sandbox") }
            let id = UUID().uuidString.lowercased()
            let request = Request(
                namespace: namespace?.text, manifest: text, file: name, sources: sources, signatures: signatures, dryRun: dryRun, id: id)
            let telling = output.json || dryRun ? nil : Task { await DeployProgressText.tell(of: id, client) }
            defer { telling?.cancel() }
            let answer = try await client.jsonBytes(.POST, "/v1/deployments", body: request, timeout: .seconds(1800))
            let view = try JSONDecoder().decode(View.self, from: Data(answer))
            if output.json { Terminal.write(answer + [10]) } else { view.functions.forEach(show) }
            let failed = view.functions.filter { $0.status == "failed" }
            if !failed.isEmpty { throw CommandFailure(output.json ? "" : "\(failed.count) function(s) not deployed") }
        }
    }

    private struct Archive: Decodable { var digest: String }

    /// What whoever deploys puts their signature under, one for each function.
    private func statements(_ manifest: Manifest, _ text: String, _ archives: [(function: FunctionLabel, source: SourceArchive)]) throws
        -> [DeploymentStatement]
    {
        guard let namespace = namespace ?? manifest.namespace else {
            throw CommandFailure("what is signed names its namespace: add namespace: NAME to the manifest, or use --namespace", code: 2)
        }
        return try manifest.functions.map { function in
            let source: DeploymentStatement.Source
            if let git = function.spec.git {
                guard git.isPinned else {
                    throw CommandFailure(
                        "\(function.label): a branch or a tag can't be signed for, as it may be another commit tomorrow; give ref as the whole id of a commit",
                        code: 2)
                }
                source = .commit(url: git.url, id: git.ref)
            } else {
                source = .archive(archives.first { $0.function == function.label }?.source.digest ?? "")
            }
            return DeploymentStatement(
                function: FunctionName(namespace: namespace, function: function.label), manifest: text, source: source)
        }
    }

    private func added(_ text: String) { Terminal.line(Terminal.coloured("  + \(text)", .green)) }

    private func removed(_ text: String) { Terminal.line(Terminal.coloured("  - \(text)", .red)) }

    private func show(_ outcome: Outcome) {
        let took = "(\(outcome.milliseconds) ms)"
        switch outcome.status {
        case "deployed":
            Terminal.line(
                "\(Terminal.coloured("deployed", .green)) \(outcome.function) revision \(outcome.revision ?? 0) \(took)  \(outcome.url)")
        case "pendingApproval":
            Terminal.line(
                "\(Terminal.coloured("waits", .yellow)) \(outcome.function) revision \(outcome.revision ?? 0) for somebody else's approval \(took): \((outcome.needsApproval ?? []).joined(separator: ", "))"
            )
            Terminal.line(
                "  approve it  casemate approve \(outcome.function)#\(outcome.revision ?? 0) --digest \(outcome.digest ?? "")")
        case "unchanged":
            Terminal.line("unchanged \(outcome.function) revision \(outcome.revision ?? 0): source and manifest are as deployed")
        case "planned":
            Terminal.line("would deploy \(outcome.function)\(outcome.revision.map { ", which runs revision \($0)" } ?? ", which is new")")
        default:
            let still = outcome.revision.map { "; revision \($0) still serves" } ?? ""
            Terminal.line(
                "\(Terminal.coloured("failed", .red)) \(outcome.function) at \(outcome.stage ?? "?"): \(Terminal.visible(outcome.problem ?? ""))\(still)"
            )
        }
        if let git = outcome.git, let commit = git.commit { Terminal.line(Terminal.visible("  from \(git.url) at \(commit)")) }
        if let signer = outcome.signedBy { Terminal.line(Terminal.visible("  signed by \(signer.name) (\(signer.key))")) }
        if ["deployed", "planned", "pendingApproval"].contains(outcome.status) {
            for host in outcome.egress?.added ?? [] { added("may reach \(host)") }
            for host in outcome.egress?.removed ?? [] { removed("may no longer reach \(host)") }
            for caller in outcome.callers?.added ?? [] { added("may be called by \(caller)") }
            for caller in outcome.callers?.removed ?? [] { removed("may no longer be called by \(caller)") }
            for place in outcome.injected?.added ?? [] { added("the platform puts in \(place)") }
            for place in outcome.injected?.removed ?? [] { removed("the platform no longer puts in \(place)") }
            for capability in outcome.capabilities?.added ?? [] { added("may do for its callers: \(capability)") }
            for capability in outcome.capabilities?.removed ?? [] { removed("may no longer do for its callers: \(capability)") }
            for audience in outcome.audiences?.added ?? [] { added("may prove who it is to \(audience)") }
            for audience in outcome.audiences?.removed ?? [] { removed("may no longer prove who it is to \(audience)") }
        }
        if ["deployed", "pendingApproval"].contains(outcome.status) { PackageText.show(outcome.packages) }
        FindingText.show(outcome.diagnostics, of: outcome.function)
        if let output = outcome.output {
            for line in output.split(separator: "\n").suffix(40) { Terminal.line("  | \(Terminal.visible(String(line)))") }
        }
    }
}
