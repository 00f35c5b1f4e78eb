import CasemateLinux
import Foundation
import Glibc

/// The host's pip: it fetches the build tools and knows which package index this machine uses. Always with `-I`: else Python would look for
/// modules in the folder that the command is called in, which may be anybody's.
enum HostPip {
    /// A Python that has pip.
    static var python: String? {
        for name in ["/usr/bin/python3"] where (try? Shell.run([name, "-I", "-m", "pip", "--version"]).status) == 0 { return name }
        guard let found = try? Shell.run(["env", "python3", "-I", "-m", "pip", "--version"]), found.status == 0 else { return nil }
        return "python3"
    }

    /// The index that this machine's pip uses, and the host of its files. The names are pip's knowledge, not ours.
    static func index() throws -> (url: String, fileHosts: [String]) {
        guard let python else { throw CommandFailure("pip is not installed; apt-get install python3-pip, or set --index-url") }
        let script =
            "from pip._internal.models.index import PyPI; print(PyPI.simple_url); print(PyPI.netloc); print(PyPI.file_storage_domain)"
        let (status, output) = try Shell.run(python.hasPrefix("/") ? [python, "-I", "-c", script] : ["env", python, "-I", "-c", script])
        let lines = output.split(separator: "\n").map(String.init)
        guard status == 0, lines.count == 3 else { throw CommandFailure("pip does not say which index it uses; set --index-url") }
        let configured = ProcessInfo.processInfo.environment["PIP_INDEX_URL"] ?? ""
        guard !configured.isEmpty else { return (lines[0], [lines[2]]) }
        return (configured, URLComponents(string: configured)?.host == lines[1] ? [lines[2]] : [])
    }
}
