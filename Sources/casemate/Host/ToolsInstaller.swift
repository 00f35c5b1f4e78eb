import CasemateLinux
import Glibc

/// Fetches what build sandboxes and `casemate deps` work with: uv, as a pinned wheel, by the host's pip, which checks its hash.
struct ToolsInstaller {
    static let version = "0.13.8"
    /// SHA-256 of the wheel for x86-64 Linux.
    private static let hash = "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984"

    var folder = Installation.toolsFolder
    var path: String { folder + "/uv" }
    private var marker: String { folder + "/.uv-" + Self.version }

    var isInstalled: Bool { Files.exists(marker) && access(path, X_OK) == 0 }

    func install() throws {
        guard let python = HostPip.python else { throw CommandFailure("pip is not installed; apt-get install python3-pip") }
        try Files.makeDirectories(folder, mode: 0o755)
        let staging = "\(folder)/.new-\(getpid())"
        defer { Files.removeTree(staging) }
        try Files.makeDirectories(staging, mode: 0o755)
        try Files.write("uv==\(Self.version) --hash=sha256:\(Self.hash)\n", to: staging + "/requirements.txt")
        let prefix = python.hasPrefix("/") ? [python] : ["env", python]
        let (status, output) = try Shell.run(
            prefix + [
                "-I", "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes",
                "--disable-pip-version-check",
                "--no-warn-script-location", "--target", staging + "/wheel", "--requirement", staging + "/requirements.txt",
            ])
        guard status == 0 else { throw CommandFailure("pip could not fetch uv:\n\(output.suffix(2000))") }
        guard rename(staging + "/wheel/bin/uv", path) == 0, chmod(path, 0o755) == 0 else {
            throw SystemError.last("installing uv")
        }
        try Files.write("", to: marker, mode: 0o644)
    }
}
