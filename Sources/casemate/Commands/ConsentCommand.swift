import ArgumentParser
import CasemateModel
import Foundation
import Glibc
import NIOHTTP1

struct ConsentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "consent", abstract: "See what a function may do, and let it act for you.",
        discussion: """
            Before your first call of a revision: who deployed and signed it, what was found in it, what it may do for its callers and reach.
            What you agree to is that revision; the next one asks again.
            """)
    @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
    @Flag(help: "Agree without being asked.") var yes = false
    @Flag(help: "Show the sheet, and agree to nothing.") var show = false
    @Flag(help: "Take back that you agreed, to whatever revision.") var withdraw = false
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await APIClient.with { client in
            if withdraw {
                _ = try await client.send(.DELETE, "\(function.apiPath)/consent")
                return try output.done("\(function) acts for you no longer", ["withdrawn": "\(function)"])
            }
            let bytes = try await client.jsonBytes(.GET, "\(function.apiPath)/trust")
            let sheet = try JSONDecoder().decode(TrustSheetItem.self, from: Data(bytes))
            if output.json, show || !yes { Terminal.write(bytes + [10]) } else if !output.json { sheet.show() }
            if show { return }
            if let since = sheet.consented {
                if !output.json { Terminal.line("\nyou agreed on \(since)") }
                return
            }
            if !yes { try sheet.ask() }
            let agreed = try await sheet.agree(client)
            if output.json {
                Terminal.write(agreed + [10])
            } else {
                Terminal.line("\nrevision \(sheet.revision) of \(function) may act for you")
            }
        }
    }
}

/// The server's account of what a function is and may do.
struct TrustSheetItem: Decodable {
    var function: String
    var revision: Int
    var revisionId: String
    var author: String
    var deployed: String
    var signer: String
    var signedBy: DeploymentSigner?
    var approvedBy: [String]?
    var findings: [Diagnostic]?
    var access: String
    var capabilities: [String]
    var identity: [String]
    var egress: [String]?
    var secrets: [String]?
    var secretsInResponse: String?
    var yourRights: [String]
    var willHave: [String]
    var consented: String?

    func show() {
        func row(_ name: String, _ values: [String], none: String) {
            let shown = values.isEmpty ? [none] : values.map(Terminal.visible)
            for (index, value) in shown.enumerated() {
                Terminal.line((index == 0 ? name : "").padding(toLength: 14, withPad: " ", startingAt: 0) + value)
            }
        }
        Terminal.line("\(Terminal.visible(function)), revision \(revision)\n")
        row("deployed", ["\(deployed) by \(author)"], none: "")
        row("signed by", signedBy.map { ["\($0.name) (\($0.key))"] } ?? [], none: "nobody but the server")
        row("signed with", ["\(signer.prefix(16))…"], none: "")
        row("approved by", approvedBy ?? [], none: "nobody else")
        if let findings { row("findings", findings.map(\.description), none: "none") }
        row("access", [access], none: "")
        if let egress { row("may reach", egress, none: "nothing: it has no network") }
        if let secrets { row("secrets", secrets, none: "none") }
        if secretsInResponse == "allow" { row("", ["it may answer with them"], none: "") }
        row("proves itself", identity.map { "to \($0)" }, none: "to nobody")
        row(
            "for its caller",
            capabilities.map { willHave.contains($0) ? $0 + "  (you may, so it will)" : $0 + "  (you may not, so it won't)" },
            none: "nothing")
        row("your rights", yourRights, none: "none")
    }

    /// - Throws: `CommandFailure` where nobody can be asked, and where they say no.
    func ask() throws {
        let command = "casemate consent \(function) --yes"
        guard isatty(0) == 1, isatty(2) == 1 else {
            throw CommandFailure("nobody can be asked here; to agree: \(command)", code: 2)
        }
        FileHandle.standardError.write(Data("\nLet revision \(revision) of \(function) act for you? [y/N] ".utf8))
        let answer = readLine(strippingNewline: true)?.trimmingCharacters(in: .whitespaces).lowercased() ?? ""
        guard ["y", "yes"].contains(answer) else { throw CommandFailure("you did not agree; nothing was called", code: 2) }
    }

    /// Answers the sheet as it is then.
    func agree(_ client: APIClient) async throws -> [UInt8] {
        guard let name = FunctionName(function) else { throw CommandFailure("the server names no function") }
        return try await client.jsonBytes(.PUT, "\(name.apiPath)/consent", body: ["revisionId": revisionId])
    }
}
