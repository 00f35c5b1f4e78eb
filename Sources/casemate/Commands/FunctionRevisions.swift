import ArgumentParser
import CasemateDeploy
import CasemateModel
import Foundation
import NIOHTTP1

/// What is another in one revision than in another.
struct RevisionDiffItem: Decodable {
    struct Change: Decodable {
        var path: String
        var before: String?
        var after: String?
    }

    var from: Int?
    var to: Int
    var source: Bool
    var bundle: Bool
    var changes: [Change]
    var packages: ListChange<String>?
    var findings: ListChange<String>?

    func show() {
        Terminal.line(from.map { "from revision \($0) to \(to):" } ?? "revision \(to), which is the first:")
        if source { Terminal.line("  the source is another: casemate function source --revision \(to) -o FILE") }
        for change in changes {
            Terminal.line("  \(Terminal.visible(change.path))")
            if let before = change.before { Terminal.line(Terminal.coloured("    - \(Terminal.visible(before))", .red)) }
            if let after = change.after { Terminal.line(Terminal.coloured("    + \(Terminal.visible(after))", .green)) }
        }
        PackageText.show(packages)
        for text in findings?.added ?? [] { Terminal.line("  found: \(Terminal.visible(text))") }
        for text in findings?.removed ?? [] { Terminal.line("  no longer found: \(Terminal.visible(text))") }
        if !source, !bundle, changes.isEmpty, packages == nil { Terminal.line("  nothing is another") }
    }
}

extension FunctionCommand {
    struct Diff: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what is another in one revision than in another.",
            discussion: "Of plain values only the names are shown, and that they changed.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument(help: "Number of the one.") var from: Int
        @Argument(help: "Number of the other.") var to: Int
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, function.apiPath + "/diff?from=\(from)&to=\(to)")
                if output.json { return Terminal.write(bytes + [10]) }
                try JSONDecoder().decode(RevisionDiffItem.self, from: Data(bytes)).show()
            }
        }
    }

    struct Statement: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print what whoever deployed a revision put their signature under.",
            discussion: """
                casemate function statement plant/hello > statement
                casemate function statement plant/hello --signature > statement.sig
                ssh-keygen -Y verify -f allowed_signers -I ada -n casemate -s statement.sig < statement
                """)
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Option(help: "Its number; default: the active one.") var revision: Int?
        @Flag(help: "Print the signature.") var signature = false
        @OptionGroup var output: OutputOptions

        private struct Item: Decodable { var statement, signature: String }

        func run() async throws {
            try await APIClient.with { client in
                let path = function.apiPath + "/statement" + (revision.map { "?revision=\($0)" } ?? "")
                let bytes = try await client.jsonBytes(.GET, path)
                if output.json { return Terminal.write(bytes + [10]) }
                let item = try JSONDecoder().decode(Item.self, from: Data(bytes))
                Terminal.write(Array((signature ? item.signature : item.statement).utf8))
            }
        }
    }

    struct Pin: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Keep a revision, however old it gets.",
            discussion: "Without that the namespace's policy says how many of the newest are kept: keepRevisions.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument(help: "Its number.") var revision: Int
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                _ = try await client.send(.PUT, function.apiPath + "/revisions/\(revision)/pin")
                try output.done("revision \(revision) of \(function) is kept", ["pinned": "\(function)#\(revision)"])
            }
        }
    }

    struct Unpin: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let a revision go when it is old.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument(help: "Its number.") var revision: Int
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                _ = try await client.send(.DELETE, function.apiPath + "/revisions/\(revision)/pin")
                try output.done("revision \(revision) of \(function) goes when it is old", ["unpinned": "\(function)#\(revision)"])
            }
        }
    }

    struct SplitCalls: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "split", abstract: "Have another revision run a part of the calls, to try it.",
            discussion: """
                casemate function split plant/hello v4=10 --return-above 5
                Of a hundred calls ten run revision 4; if more than 5 % of those fail, of at least 20, the active one runs all again. To keep \
                it: casemate function rollback --revision 4. To end it: casemate function split plant/hello off
                """)
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @Argument(help: ArgumentHelp("vREVISION=PERCENT, or off.", valueName: "part")) var part: Part
        @Option(help: "In percent of the calls that it runs: above it they all go back. 5 and 5% are the same.") var returnAbove: String?
        @OptionGroup var output: OutputOptions

        enum Part: ExpressibleByArgument {
            case off
            case revision(Int, percent: Int)

            init?(argument: String) {
                if argument == "off" {
                    self = .off
                    return
                }
                let parts = argument.split(separator: "=")
                guard parts.count == 2, parts[0].first == "v", let number = Int(parts[0].dropFirst()), let percent = Self.percent(parts[1])
                else {
                    return nil
                }
                self = .revision(number, percent: percent)
            }

            static func percent(_ text: some StringProtocol) -> Int? { Int(text.hasSuffix("%") ? String(text.dropLast()) : String(text)) }
        }

        private struct Body: Encodable {
            var revision: Int
            var percent: Int
            var returnAbove: Int?
        }

        func run() async throws {
            let limit = returnAbove.map { Part.percent($0) }
            guard limit != .some(nil) else {
                throw CommandFailure("--return-above \(returnAbove ?? ""): a number of percent, like 5", code: 2)
            }
            try await APIClient.with { client in
                guard case .revision(let number, let percent) = part else {
                    _ = try await client.send(.DELETE, function.apiPath + "/split")
                    return try output.done("the active revision of \(function) runs all its calls", ["ended": function.description])
                }
                let body = Body(revision: number, percent: percent, returnAbove: limit ?? nil)
                let bytes = try await client.jsonBytes(.PUT, function.apiPath + "/split", body: body)
                if output.json { return Terminal.write(bytes + [10]) }
                Terminal.line("revision \(number) runs \(percent) of a hundred calls of \(function)")
                Terminal.line("  keep it  casemate function rollback \(function) --revision \(number)")
                Terminal.line("  end it   casemate function split \(function) off")
            }
        }
    }
}
