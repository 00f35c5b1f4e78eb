import CasemateLinux
import Crypto
import Glibc

/// Fetches what the gate's checks are made with (scanners, parsers, the CycloneDX library): pinned, each file's hash checked by the host's
/// pip, into a folder that sandboxes and `casemate scan` read.
struct GateToolsInstaller {
    /// `gate` in it is a link to what is used.
    let folder: String
    /// Names and hashes; part of this installation.
    let requirements: String

    init(folder: String = Installation.toolsFolder, installation: Installation) {
        self.folder = folder
        requirements = installation.runtimes + "/python/gate-requirements.txt"
    }

    var path: String { folder + "/gate" }

    var isInstalled: Bool {
        get throws {
            var target = [CChar](repeating: 0, count: 256)
            let length = readlink(path, &target, 255)
            guard length > 0 else { return false }
            return try String(decoding: target.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self) == name
                && Files.exists(path + "/bandit")
        }
    }

    /// The same requirements have the same name, and those of another release do not pass for these.
    private var name: String {
        get throws {
            let digest = SHA256.hash(data: try Files.read(requirements, limit: 1 << 20))
            return ".gate-" + digest.prefix(8).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
    }

    func install() throws {
        guard let python = HostPip.python else { throw CommandFailure("pip is not installed; apt-get install python3-pip") }
        try Files.makeDirectories(folder, mode: 0o755)
        let staging = "\(folder)/.new-gate-\(getpid())"
        defer { Files.removeTree(staging) }
        let (status, output) = try Shell.run(
            (python.hasPrefix("/") ? [python] : ["env", python]) + [
                "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--disable-pip-version-check",
                "--no-warn-script-location", "--target", staging, "--requirement", requirements,
            ])
        guard status == 0 else { throw CommandFailure("pip could not fetch the gate's tools:\n\(output.suffix(2000))") }
        chmod(staging, 0o755)
        let name = try self.name
        // Another server of this host may have been faster.
        if !Files.exists("\(folder)/\(name)"), rename(staging, "\(folder)/\(name)") != 0, !Files.exists("\(folder)/\(name)") {
            throw SystemError.last("naming the gate's tools")
        }
        let link = "\(folder)/.link-gate-\(getpid())"
        unlink(link)
        guard symlink(name, link) == 0, rename(link, path) == 0 else { throw SystemError.last("linking the gate's tools") }
    }
}
