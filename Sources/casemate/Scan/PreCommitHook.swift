import Foundation
import Glibc

/// Has git run the checks before each commit.
enum PreCommitHook {
    /// - Throws: where the folder is no repository's, or has another hook.
    static func install(in root: String) throws {
        let hooks = root + "/.git/hooks"
        guard FileManager.default.fileExists(atPath: root + "/.git") else {
            throw CommandFailure("\(root) is not the top of a git repository", code: 2)
        }
        let path = hooks + "/pre-commit"
        guard !FileManager.default.fileExists(atPath: path) else {
            throw CommandFailure(
                "\(path) is there already; add this line to it: casemate scan \"$(git rev-parse --show-toplevel)\"", code: 2)
        }
        try FileManager.default.createDirectory(atPath: hooks, withIntermediateDirectories: true)
        let script = "#!/bin/sh\n# casemate scan --install-hook\nexec casemate scan \"$(git rev-parse --show-toplevel)\"\n"
        guard FileManager.default.createFile(atPath: path, contents: Data(script.utf8)), chmod(path, 0o755) == 0 else {
            throw CommandFailure("\(path) can't be written")
        }
        Terminal.line("casemate scan runs before each commit here; git commit --no-verify passes it by")
    }
}
