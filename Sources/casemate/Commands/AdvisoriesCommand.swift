import ArgumentParser
import AsyncHTTPClient
import CasemateModel
import Foundation
import NIOCore
import NIOHTTP1

struct AdvisoriesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "advisories", abstract: "Import the advisories that packages are held against, and show how old they are.",
        discussion: """
            FILE is the zip of an OSV export for PyPI, or a git export (tar.gz, tar.xz, zip) of a database in the form of the Python Packaging \
            Advisory Database. It replaces what was there before; every live function is then looked at again. The server fetches nothing by itself.
            """,
        subcommands: [Import.self, Show.self], defaultSubcommand: Show.self)

    struct View: Decodable {
        var records: Int
        var newest: String?
        var imported: String?
        var isFresh: Bool
        var withdrawn: Int?
        var skipped: Int?
        var affectedFunctions: Int?
    }

    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Replace the advisories by those of an archive.")
        @Argument(help: "The archive.") var file: String
        @OptionGroup var output: OutputOptions

        func run() async throws {
            guard let data = FileManager.default.contents(atPath: file) else {
                throw CommandFailure("\(file) can't be read", code: 2)
            }
            try await APIClient.with { client in
                Terminal.step("importing \(data.count >> 10) KiB")
                let bytes = try await client.send(
                    .PUT, "/v1/advisories", body: .bytes(ByteBuffer(bytes: data)), type: "application/octet-stream", timeout: .seconds(900))
                if output.json { return Terminal.write(bytes + [10]) }
                let view = try JSONDecoder().decode(View.self, from: Data(bytes))
                Terminal.line(
                    "\(view.records) advisories, the newest of \(view.newest ?? "?"); \(view.withdrawn ?? 0) withdrawn, \(view.skipped ?? 0) left out"
                )
                AdvisoriesCommand.warnIfOld(view)
                let affected = view.affectedFunctions ?? 0
                if affected > 0 {
                    Terminal.line(Terminal.coloured("\(affected) live function(s) are vulnerable", .red) + ": casemate posture")
                }
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "status", abstract: "Show how many there are, and how old.")
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                let bytes = try await client.jsonBytes(.GET, "/v1/advisories")
                if output.json { return Terminal.write(bytes + [10]) }
                let view = try JSONDecoder().decode(View.self, from: Data(bytes))
                guard view.records > 0 else {
                    return Terminal.line("there are no advisories yet: packages are not held against any; casemate advisories import FILE")
                }
                Terminal.line("\(view.records) advisories, the newest of \(view.newest ?? "?"), imported \(view.imported ?? "?")")
                AdvisoriesCommand.warnIfOld(view)
            }
        }
    }

    static func warnIfOld(_ view: View) {
        if !view.isFresh { Terminal.error("warning: the newest advisory is older than a week; import a newer archive") }
    }
}
