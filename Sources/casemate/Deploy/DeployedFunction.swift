import CasemateDeploy
import CasemateModel
import Foundation

/// What became of one function, as the server tells it.
struct DeployedFunction: Decodable {
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

    private func added(_ text: String) { Terminal.line(Terminal.coloured("  + \(Terminal.visible(text))", .green)) }

    private func removed(_ text: String) { Terminal.line(Terminal.coloured("  - \(Terminal.visible(text))", .red)) }

    /// For people.
    func show() {
        let took = "(\(milliseconds) ms)"
        switch status {
        case "deployed":
            Terminal.line(
                "\(Terminal.coloured("deployed", .green)) \(function) revision \(revision ?? 0) \(took)  \(url)")
        case "pendingApproval":
            Terminal.line(
                "\(Terminal.coloured("waits", .yellow)) \(function) revision \(revision ?? 0) for somebody else's approval \(took): \((needsApproval ?? []).joined(separator: ", "))"
            )
            Terminal.line(
                "  approve it  casemate approve \(function)#\(revision ?? 0) --digest \(digest ?? "")")
        case "unchanged":
            Terminal.line("unchanged \(function) revision \(revision ?? 0): source and manifest are as deployed")
        case "planned":
            Terminal.line("would deploy \(function)\(revision.map { ", which runs revision \($0)" } ?? ", which is new")")
        default:
            let still = revision.map { "; revision \($0) still serves" } ?? ""
            Terminal.line(
                "\(Terminal.coloured("failed", .red)) \(function) at \(stage ?? "?"): \(Terminal.visible(problem ?? ""))\(still)"
            )
        }
        if let git, let commit = git.commit { Terminal.line(Terminal.visible("  from \(git.url) at \(commit)")) }
        if let signer = signedBy { Terminal.line(Terminal.visible("  signed by \(signer.name) (\(signer.key))")) }
        if ["deployed", "planned", "pendingApproval"].contains(status) {
            for host in egress?.added ?? [] { added("may reach \(host)") }
            for host in egress?.removed ?? [] { removed("may no longer reach \(host)") }
            for caller in callers?.added ?? [] { added("may be called by \(caller)") }
            for caller in callers?.removed ?? [] { removed("may no longer be called by \(caller)") }
            for place in injected?.added ?? [] { added("the platform puts in \(place)") }
            for place in injected?.removed ?? [] { removed("the platform no longer puts in \(place)") }
            for capability in capabilities?.added ?? [] { added("may do for its callers: \(capability)") }
            for capability in capabilities?.removed ?? [] { removed("may no longer do for its callers: \(capability)") }
            for audience in audiences?.added ?? [] { added("may prove who it is to \(audience)") }
            for audience in audiences?.removed ?? [] { removed("may no longer prove who it is to \(audience)") }
        }
        if ["deployed", "pendingApproval"].contains(status) { PackageText.show(packages) }
        FindingText.show(diagnostics, of: function)
        if let output {
            for line in output.split(separator: "\n").suffix(40) { Terminal.line("  | \(Terminal.visible(String(line)))") }
        }
    }
}
