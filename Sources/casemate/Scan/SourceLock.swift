import ArgumentParser
import CasemateDeploy
import CasemateModel
import Foundation

/// Locks the packages of a source folder on this machine, with what builds lock with on a server.
struct SourceLock {
    struct Options: ParsableArguments {
        @Option(help: "The package index, an https URL of PEP 503's simple API; default: PIP_INDEX_URL, else what pip uses.")
        var indexURL: String?
        @Option(help: "An archive of advisories, as casemate advisories import takes it; without one packages are held against none.")
        var advisories: String?
    }

    private struct Request: Encodable {
        let operation = "lock"
        let source, uv, index: String
        let python = "3.11"
        let upgrade: [String]
        let advisories: String?
        let write: Bool
    }

    let folder: String
    let options: Options
    /// Names, or `*`.
    let upgrade: [String]

    /// The folders that PATH stands for: itself, or those of the manifest's functions in it.
    /// - Throws: `CommandFailure` for what is no folder, and for a manifest that is none.
    static func folders(_ path: String) throws -> [String] {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
            throw CommandFailure("\(path) is no folder", code: 2)
        }
        let manifest = try LocalManifest(root: path)
        if let fault = manifest.findings.first(where: { $0.severity == .error && $0.finding == nil }) {
            throw CommandFailure("\(fault)", code: 2)
        }
        guard !manifest.sources.isEmpty else { return [path] }
        let root = URL(fileURLWithPath: path, isDirectory: true)
        let real = root.resolvingSymlinksInPath().path
        return try Array(Set(manifest.sources.map { root.appendingPathComponent($0.path).standardizedFileURL.path })).sorted().map {
            folder in
            // What is written goes below PATH, wherever a link in it leads.
            guard (URL(fileURLWithPath: folder).resolvingSymlinksInPath().path + "/").hasPrefix(real + "/") else {
                throw CommandFailure("\(folder) is a link that leads out of \(path)", code: 2)
            }
            return folder
        }
    }

    /// - Throws: `CommandFailure` where nothing could be locked, or grave advisories stay.
    func run(writing: Bool, _ output: OutputOptions) throws {
        let gate = try LocalGate()
        let index = try options.indexURL ?? HostPip.index().url
        let request = Request(
            source: URL(fileURLWithPath: folder).standardizedFileURL.path, uv: try LocalGate.uv(), index: index,
            upgrade: upgrade, advisories: try options.advisories.map { try gate.records(of: $0) }, write: writing)
        Terminal.step("resolving packages")
        let bytes = try gate.ask([UInt8](try JSONEncoder().encode(request)))
        let result = try GateReply.lock(bytes)
        if output.json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            Terminal.write([UInt8](try encoder.encode(result)) + [10])
        } else {
            show(result, isWritten: writing)
        }
        if result.left.contains(where: { $0.finding?.level.blocks == true }) { throw CommandFailure("") }
    }

    private func show(_ result: LockReport, isWritten: Bool) {
        let isChanged = !result.packages.isEmpty || !result.lines.isEmpty
        let verb = upgrade.isEmpty ? "lock" : "upgrade"
        let done = isWritten ? Terminal.coloured(verb == "lock" ? "locked" : "upgraded", .green) : "would \(verb)"
        let count = "\(result.total) package\(result.total == 1 ? "" : "s")"
        Terminal.line("\(done) \(Terminal.visible("\(folder)/\(result.lock)")): \(count)\(isChanged ? "" : ", as it was")")
        for line in result.lines {
            Terminal.line(Terminal.visible("  \(line.file):\(line.line): \(line.before) -> \(line.after)"))
        }
        PackageText.show(
            ListChange(
                from: result.packages.compactMap { package in package.before.map { "\(package.name) \($0)" } },
                to: result.packages.compactMap { package in package.after.map { "\(package.name) \($0)" } }))
        PackageText.show(fixed: result.fixed)
        FindingText.show(result.left, of: nil)
    }
}
