import CasemateLinux
import Crypto
import Glibc

/// Fetches the libraries that a kind of sandbox works with: pinned, each file's hash checked by the host's pip, into a folder that the
/// sandboxes read.
struct PythonTools {
    /// `name` in it is a link to what is used.
    let folder: String
    let name: String
    /// A module that there must be.
    private let module: String
    /// Names and hashes; part of this installation.
    private let requirements: String

    /// Scanners, parsers, the CycloneDX library: for the gate's checks and `casemate scan`.
    static func gate(in folder: String = Installation.toolsFolder, _ installation: Installation) -> PythonTools {
        PythonTools(folder, "gate", module: "bandit", installation)
    }

    /// What speaks with repositories.
    static func fetch(_ installation: Installation) -> PythonTools {
        PythonTools(Installation.toolsFolder, "fetch", module: "dulwich", installation)
    }

    /// What an author's own checks run with.
    static func checks(_ installation: Installation) -> PythonTools {
        PythonTools(Installation.toolsFolder, "checks", module: "mypy", installation)
    }

    private init(_ folder: String, _ name: String, module: String, _ installation: Installation) {
        self.folder = folder
        self.name = name
        self.module = module
        requirements = installation.runtimes + "/python/\(name)-requirements.txt"
    }

    var path: String { folder + "/" + name }

    var isInstalled: Bool {
        get throws {
            var target = [CChar](repeating: 0, count: 256)
            let length = readlink(path, &target, 255)
            guard length > 0 else { return false }
            return try String(decoding: target.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self) == version
                && Files.exists("\(path)/\(module)")
        }
    }

    /// The same requirements have the same name, and those of another release do not pass for these.
    private var version: String {
        get throws {
            let digest = SHA256.hash(data: try Files.read(requirements, limit: 1 << 20))
            return ".\(name)-" + digest.prefix(8).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
    }

    func install() throws {
        guard let python = HostPip.python else { throw CommandFailure("pip is not installed; apt-get install python3-pip") }
        try Files.makeDirectories(folder, mode: 0o755)
        let staging = "\(folder)/.new-\(name)-\(getpid())"
        defer { Files.removeTree(staging) }
        let (status, output) = try Shell.run(
            (python.hasPrefix("/") ? [python] : ["env", python]) + [
                "-I", "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes",
                "--disable-pip-version-check",
                "--no-warn-script-location", "--target", staging, "--requirement", requirements,
            ])
        guard status == 0 else { throw CommandFailure("pip could not fetch what \(name) sandboxes work with:\n\(output.suffix(2000))") }
        chmod(staging, 0o755)
        let version = try self.version
        // Another server of this host may have been faster.
        if !Files.exists("\(folder)/\(version)"), rename(staging, "\(folder)/\(version)") != 0, !Files.exists("\(folder)/\(version)") {
            throw SystemError.last("naming the tools of \(name) sandboxes")
        }
        let link = "\(folder)/.link-\(name)-\(getpid())"
        unlink(link)
        guard symlink(version, link) == 0, rename(link, path) == 0 else { throw SystemError.last("linking the tools of \(name) sandboxes") }
    }
}
