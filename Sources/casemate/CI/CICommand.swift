import ArgumentParser
import CasemateModel
import Foundation
import NIOHTTP1

struct CICommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ci", abstract: "Deploy from a pipeline: sign in, deploy, wait, report.",
        discussion: """
            In GitHub's or GitLab's pipelines it signs in by the run's own OIDC token, for the service account in CASEMATE_SERVICE_ACCOUNT \
            (its client id) at CASEMATE_URL; elsewhere with CASEMATE_KEY. Ready workflow files are in deploy/ci.
            Exit codes: 0 everything is live; 1 something was refused or failed; 2 nothing was tried; 3 something waits for an approval.
            """)
    @Argument(help: "Folder or manifest.") var path = "."
    @Option(help: "Namespace, where the manifest names none or another.") var namespace: NamespaceName?
    @Option(help: "The service account's client id (CASEMATE_SERVICE_ACCOUNT).") var serviceAccount: String?
    @Option(help: "Whom the run's token is for, as the issuer was added (CASEMATE_AUDIENCE, else casemate).") var audience: String?
    @Option(help: "A file with the run's token, where neither system is known.") var tokenFile: String?
    @Option(help: "Wait so long for an approval: 30m, 2h.") var wait: String?
    @Option(help: "Write the findings as SARIF 2.1.0.") var sarif: String?
    @Option(help: "Write what became of each function as JUnit XML.") var junit: String?
    @OptionGroup var signing: SigningOptions
    @OptionGroup var output: OutputOptions

    private static let waiting: Int32 = 3

    func run() async throws {
        let seconds = try waitSeconds
        guard !signing.printStatement else {
            throw CommandFailure("casemate ci deploys; to print what is to be signed: casemate deploy --print-statement", code: 2)
        }
        let project = try DeployProject(path, namespace: namespace)
        let signatures = try signing.isSigning ? signing.signatures(of: project.statements) : nil
        let order = DeployOrder(project: project, signatures: signatures, tellsProgress: !output.json)
        var functions: [DeployedFunction] = []
        // Also where it failed: that is what reports are read for.
        defer { if !functions.isEmpty { report(functions) } }
        let (answer, deployed) = try await signedIn { client in
            do { return try await order.send(client) } catch let failure as CommandFailure where failure.isUncertain && order.sent.isSet {
                // What became of it is not known here: that is not nothing.
                throw CommandFailure(failure.message, code: 1)
            }
        }
        functions = deployed
        if output.json { Terminal.write(answer + [10]) } else { functions.forEach { $0.show() } }
        try await wait(for: &functions, seconds: seconds)
        let failed = functions.filter(\.hasFailed)
        guard failed.isEmpty else { throw CommandFailure(output.json ? "" : "\(failed.count) function(s) not deployed") }
        let waiting = functions.filter(\.isWaiting)
        guard waiting.isEmpty else {
            throw CommandFailure(
                output.json ? "" : "\(waiting.count) function(s) wait for an approval: casemate approvals", code: Self.waiting)
        }
    }

    /// Until somebody has looked at what waits.
    private func wait(for functions: inout [DeployedFunction], seconds: Int) async throws {
        let end = ContinuousClock.now + .seconds(seconds)
        if seconds > 0, functions.contains(where: \.isWaiting) { Terminal.step("waiting for an approval") }
        while functions.contains(where: \.isWaiting), ContinuousClock.now < end {
            // Anew each time: an access token ends before somebody comes back from lunch.
            let known = functions
            do {
                functions = try await signedIn { client in
                    let until = min(end, .now + .seconds(300))
                    var now = known
                    while now.contains(where: \.isWaiting), ContinuousClock.now < until {
                        try await Task.sleep(for: .seconds(2))
                        for index in now.indices where now[index].isWaiting { try await now[index].look(client) }
                    }
                    return now
                }
            } catch let failure as CommandFailure {
                // A server that is being started again, or an issuer that does not answer now, is there again in a moment.
                Terminal.step(failure.message)
                try await Task.sleep(for: .seconds(5))
            }
        }
    }

    private var waitSeconds: Int {
        get throws {
            guard let wait else { return 0 }
            let units: [Character: Int] = ["s": 1, "m": 60, "h": 3600]
            guard let unit = wait.last.flatMap({ units[$0] }), let number = Int(wait.dropLast()), (1...100_000).contains(number) else {
                throw CommandFailure("--wait \(wait): give it as 90s, 30m or 2h", code: 2)
            }
            return number * unit
        }
    }

    private func signedIn<R: Sendable>(_ body: (APIClient) async throws -> R) async throws -> R {
        let environment = ProcessInfo.processInfo.environment
        // A variable that a pipeline's system sets to nothing is none.
        if environment["CASEMATE_KEY"]?.isEmpty == false { return try await APIClient.with { try await body($0) } }
        guard let account = serviceAccount ?? environment["CASEMATE_SERVICE_ACCOUNT"] else {
            throw CommandFailure(
                "set CASEMATE_SERVICE_ACCOUNT to the client id of a service account that trusts this pipeline, or CASEMATE_KEY", code: 2)
        }
        let signIn = PipelineSignIn(
            account: account, audience: audience ?? environment["CASEMATE_AUDIENCE"] ?? "casemate", tokenFile: tokenFile,
            environment: environment)
        return try await APIClient.with(isAnonymous: true) { client in
            try await body(client.signedIn(with: try await signIn.accessToken(client)))
        }
    }

    private func report(_ functions: [DeployedFunction]) {
        func write(_ bytes: [UInt8], to path: String) {
            do { try Data(bytes).write(to: URL(fileURLWithPath: path)) } catch { Terminal.error("casemate: \(path) could not be written") }
        }
        if let sarif, let bytes = try? SARIF.bytes(functions.flatMap(\.diagnostics)) { write(bytes, to: sarif) }
        if let junit { write(Array(JUnitReport.text(functions).utf8), to: junit) }
    }
}

extension DeployedFunction {
    /// What became of it since.
    fileprivate mutating func look(_ client: APIClient) async throws {
        guard let name = FunctionName(function) else { return }
        let item = try await client.json(.GET, name.apiPath, as: FunctionCommand.Item.self)
        guard let found = (item.revisions ?? []).first(where: { $0.number == revision && (digest == nil || $0.digest == digest) })
        else {
            status = "rejected"
            problem = "it is not there any more"
            return
        }
        switch found.state {
        case "pendingApproval": return
        case "active":
            status = "deployed"
            Terminal.error("\(name) revision \(found.number) was approved, and is live")
        case let state:
            status = "rejected"
            problem = state == "rejected" ? "it was rejected" : "a newer deployment took its place"
        }
    }
}
