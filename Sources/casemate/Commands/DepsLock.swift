import ArgumentParser

struct DepsLock: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lock", abstract: "Lock what a source folder asks for: every package, one version, its hashes.",
        discussion: """
            Reads requirements.txt or pyproject.toml in PATH and writes pylock.toml (PEP 751) beside it, which a deployment under \
            dependencies: {policy: strict} takes as it is. What a lock that is there already has stays as far as it fits; casemate deps upgrade \
            takes what is newer.
            """)
    @Argument(help: "A function's source folder, or a folder with a casemate.yaml.") var path = "."
    @Flag(help: "Only show what would change.") var dryRun = false
    @OptionGroup var folder: SourceLock.Options
    @OptionGroup var output: OutputOptions

    func run() async throws {
        for path in try SourceLock.folders(path) {
            try SourceLock(folder: path, options: folder, upgrade: []).run(writing: !dryRun, output)
        }
    }
}
