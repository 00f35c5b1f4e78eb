import ArgumentParser
import CasemateModel

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

    func run() async throws {
        guard printed == nil || signing.printStatement else { throw CommandFailure("casemate deploy takes one PATH", code: 2) }
        let project = try DeployProject(path, namespace: namespace)
        if signing.printStatement {
            let wanted = try project.statements.filter { statement in printed.map { $0 == statement.function.function } ?? true }
            guard !wanted.isEmpty else { throw CommandFailure("the manifest has no function \(printed?.text ?? "")", code: 2) }
            return wanted.forEach { Terminal.write(Array($0.text.utf8)) }
        }
        let signatures = try signing.isSigning ? signing.signatures(of: project.statements) : nil
        try await APIClient.with { client in
            let order = DeployOrder(project: project, signatures: signatures, dryRun: dryRun, tellsProgress: !output.json)
            let (answer, functions) = try await order.send(client)
            if output.json { Terminal.write(answer + [10]) } else { functions.forEach { $0.show() } }
            let failed = functions.filter { $0.status == "failed" }
            if !failed.isEmpty { throw CommandFailure(output.json ? "" : "\(failed.count) function(s) not deployed") }
        }
    }
}
