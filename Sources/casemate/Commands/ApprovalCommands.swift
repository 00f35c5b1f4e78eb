import ArgumentParser
import AsyncHTTPClient
import CasemateModel
import Foundation
import Glibc
import NIOCore
import NIOHTTP1

/// `NS/FN#4`, as a deployment that waits shows it.
struct RevisionReference: ExpressibleByArgument, CustomStringConvertible {
    let function: FunctionName
    let number: Int

    init?(argument: String) {
        let parts = argument.split(separator: "#", omittingEmptySubsequences: false)
        guard parts.count == 2, let function = FunctionName(String(parts[0])), let number = Int(parts[1]), number > 0 else { return nil }
        self.function = function
        self.number = number
    }

    var apiPath: String { "\(function.apiPath)/revisions/\(number)" }
    var description: String { "\(function)#\(number)" }
}

struct ApprovalsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "approvals", abstract: "List what waits for somebody else's approval in a namespace.")
    @Argument var namespace: NamespaceName
    @OptionGroup var output: OutputOptions

    private struct Item: Decodable {
        var function: String
        var revision: Int
        var digest: String
        var author: String
        var created: String
        var needsApproval: [String]
    }

    func run() async throws {
        try await APIClient.with { client in
            let bytes = try await client.jsonBytes(.GET, "/v1/namespaces/\(namespace)/approvals")
            if output.json { return Terminal.write(bytes + [10]) }
            let items = try JSONDecoder().decode([String: [Item]].self, from: Data(bytes))["pending"] ?? []
            guard !items.isEmpty else { return Terminal.line("nothing waits for an approval in \(namespace)") }
            Terminal.table(
                ["REVISION", "FOR", "BY", "SINCE", "DIGEST"],
                items.map {
                    [
                        "\($0.function)#\($0.revision)", $0.needsApproval.joined(separator: ", "), Terminal.visible($0.author), $0.created,
                        $0.digest,
                    ]
                })
        }
    }
}

/// What both answers to a request for approval have in common.
struct ReviewOptions: ParsableArguments {
    @Argument(help: "NAMESPACE/FUNCTION#REVISION, as casemate approvals shows it.") var revision: RevisionReference
    @Option(help: "What you looked at: sha256:…; without it you are shown the changes and asked.") var digest: String?
    @Option(help: "Why, for the record.") var comment: String?
    @OptionGroup var output: OutputOptions

    struct Body: Encodable {
        var digest: String
        var comment: String?
    }

    private struct Pending: Decodable {
        struct Item: Decodable {
            var function: String
            var revision: Int
            var changes: RevisionDiffItem?
        }
        var pending: [Item]
    }

    /// Names what was looked at.
    /// - Throws: `CommandFailure` where nobody can be asked, and where they say no.
    func body(_ client: APIClient, question: String) async throws -> Body {
        if let digest { return Body(digest: digest, comment: comment) }
        guard isatty(0) == 1, isatty(2) == 1 else {
            throw CommandFailure("nobody can be asked here; name what you looked at: --digest sha256:…", code: 2)
        }
        let function = try await client.json(.GET, revision.function.apiPath, as: FunctionCommand.Item.self)
        guard let found = (function.revisions ?? []).first(where: { $0.number == revision.number }) else {
            throw CommandFailure("\(revision.function) has no revision \(revision.number)")
        }
        Terminal.line("\(revision), deployed by \(Terminal.visible(found.createdBy)) at \(found.created)")
        if let signer = found.signedBy { Terminal.line(Terminal.visible("signed by \(signer.name) (\(signer.key))")) }
        if let active = function.activeRevision, active != revision.number {
            let path = "\(revision.function.apiPath)/diff?from=\(active)&to=\(revision.number)"
            try await client.json(.GET, path, as: RevisionDiffItem.self).show()
        } else if function.activeRevision == nil {
            let all = try await client.json(.GET, "/v1/namespaces/\(revision.function.namespace)/approvals", as: Pending.self)
            all.pending.first { $0.function == revision.function.description && $0.revision == revision.number }?.changes?.show()
        }
        FindingText.show(found.findings ?? [], of: revision.function.description)
        FileHandle.standardError.write(Data("\n\(question) [y/N] ".utf8))
        let answer = readLine(strippingNewline: true)?.trimmingCharacters(in: .whitespaces).lowercased() ?? ""
        guard ["y", "yes"].contains(answer) else { throw CommandFailure("nothing was changed", code: 2) }
        return Body(digest: found.digest ?? "", comment: comment)
    }
}

struct ApproveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "approve", abstract: "Let a revision run that somebody else has deployed.",
        discussion: """
            Takes the right deploy:approve. What you approve is exactly what you looked at, by its digest; your own you can't approve, nor what \
            an account of yours has deployed. Also what is live already can be approved: that is what casemate promote asks for.
            """)
    @OptionGroup var review: ReviewOptions

    func run() async throws {
        try await APIClient.with { client in
            let body = try await review.body(client, question: "Let \(review.revision) run?")
            let bytes = try await client.jsonBytes(.POST, review.revision.apiPath + "/approval", body: body)
            if review.output.json { return Terminal.write(bytes + [10]) }
            let item = try JSONDecoder().decode(FunctionCommand.Item.Revision.self, from: Data(bytes))
            Terminal.line("\(review.revision) is approved" + (item.isActive ? ", and live" : ""))
        }
    }
}

struct RejectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reject", abstract: "Keep a revision that waits for an approval from ever running.")
    @OptionGroup var review: ReviewOptions

    func run() async throws {
        try await APIClient.with { client in
            let body = try await review.body(client, question: "Reject \(review.revision)?")
            let encoded = try JSONEncoder().encode(body)
            _ = try await client.send(
                .POST, review.revision.apiPath + "/rejection", body: .bytes(ByteBuffer(bytes: Array(encoded))), type: "application/json")
            try review.output.done("\(review.revision) is rejected", ["rejected": review.revision.description])
        }
    }
}

struct PromoteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "promote", abstract: "Have another namespace run a revision exactly as it is.",
        discussion: """
            The same bundle, by its digest, and the same manifest; secrets are not copied. The revision must be approved by somebody else than \
            its author, and the gate looks at it again by the rules of where it goes. A namespace whose policy says production takes nothing else.
            """)
    @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
    @Option(help: "The namespace that it goes to.") var to: NamespaceName
    @Option(help: "Its number; default: the active one.") var revision: Int?
    @Option(name: .customLong("as"), help: "What it is called there; default: the same.") var name: FunctionLabel?
    @OptionGroup var output: OutputOptions

    private struct Body: Encodable {
        var from: String
        var revision: Int?
        var name: String?
    }

    private struct Outcome: Decodable {
        var function: String
        var status: String
        var url: String
        var revision: Int?
        var stage: String?
        var problem: String?
        var diagnostics: [Diagnostic]
    }

    func run() async throws {
        try await APIClient.with { client in
            let body = Body(from: function.description, revision: revision, name: name?.text)
            let bytes = try await client.jsonBytes(.POST, "/v1/namespaces/\(to)/promotions", body: body, timeout: .seconds(600))
            let outcome = try JSONDecoder().decode(Outcome.self, from: Data(bytes))
            if output.json { Terminal.write(bytes + [10]) }
            guard ["deployed", "unchanged"].contains(outcome.status) else {
                if !output.json { FindingText.show(outcome.diagnostics, of: outcome.function) }
                throw CommandFailure(
                    output.json
                        ? "" : "not promoted, failed at \(outcome.stage ?? "?"): \(Terminal.visible(outcome.problem ?? ""))")
            }
            if output.json { return }
            let what = outcome.status == "deployed" ? "runs" : "ran already"
            Terminal.line("\(outcome.function) \(what) what \(function) does, as revision \(outcome.revision ?? 0)  \(outcome.url)")
            FindingText.show(outcome.diagnostics, of: outcome.function)
        }
    }
}
