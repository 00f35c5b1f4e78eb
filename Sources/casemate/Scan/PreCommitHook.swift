import Foundation
import Glibc

/// Has git run the checks before each commit.
enum PreCommitHook {
    /// Looks at what is staged, which may differ from what lies in the folder, under the paths that it has in the repository. git runs
    /// it at the top of the worktree, with the index of this very commit (githooks(5)).
    private static let lines = """
        (
            tmp=$(mktemp -d) || exit
            trap 'rm -rf "$tmp"' EXIT
            trap 'exit 1' HUP INT TERM
            GIT_LFS_SKIP_SMUDGE=1 git checkout-index --all --prefix="$tmp/" && casemate scan "$tmp"
        ) || exit

        """

    /// - Throws: where the folder is no repository's, or has another hook.
    static func install(in root: String) throws {
        guard FileManager.default.fileExists(atPath: root + "/.git") else {
            throw CommandFailure("\(root) is not the top of a git repository", code: 2)
        }
        // In a worktree, a submodule, and where core.hooksPath says so, they lie elsewhere.
        let asked = try Shell.run(["git", "-C", root, "rev-parse", "--path-format=absolute", "--git-path", "hooks"])
        let hooks = asked.output.trimmingCharacters(in: .newlines)
        guard asked.status == 0, hooks.hasPrefix("/") else { throw CommandFailure("git does not say where \(root) has its hooks") }
        let path = hooks + "/pre-commit"
        guard !FileManager.default.fileExists(atPath: path) else {
            throw CommandFailure("\(path) is there already; add these lines to it:\n\(lines)", code: 2)
        }
        try FileManager.default.createDirectory(atPath: hooks, withIntermediateDirectories: true)
        let script = "#!/bin/sh\n# casemate scan --install-hook\n\(lines)"
        guard FileManager.default.createFile(atPath: path, contents: Data(script.utf8)), chmod(path, 0o755) == 0 else {
            throw CommandFailure("\(path) can't be written")
        }
        Terminal.line("casemate scan runs before each commit here; git commit --no-verify passes it by")
    }
}
