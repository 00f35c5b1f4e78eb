import CasemateDeploy
import CasemateLinux
import CasemateModel
import Crypto
import Foundation
import Glibc

/// The gate's tools on this machine, without a server: the same checks that a deployment meets, in a process of the caller's.
struct LocalGate {
    private let python: String
    private let program: String
    private let tools: String

    /// Fetches the tools into the caller's cache where this host has none.
    init() throws {
        guard let installation = Installation.find() else {
            throw CommandFailure("the gate's files were not found; set CASEMATE_LIBEXEC, or see: casemate doctor", code: 2)
        }
        guard let python = HostPip.python else {
            throw CommandFailure("python3 with pip is not installed; apt-get install python3-pip", code: 2)
        }
        self.python = python.hasPrefix("/") ? python : findProgram(python) ?? python
        program = installation.runtimes + "/python/casemate_gate/bootstrap.py"
        let host = PythonTools.gate(installation)
        if (try? host.isInstalled) == true {
            tools = host.path
        } else {
            let own = PythonTools.gate(in: try Self.cache(), installation)
            if try !own.isInstalled {
                Terminal.step("fetching the gate's tools (once, about 10 s)")
                try own.install()
            }
            tools = own.path
        }
    }

    /// The host's uv; fetched into the caller's cache where this host has none.
    static func uv() throws -> String {
        let host = ToolsInstaller()
        if host.isInstalled { return host.path }
        let own = ToolsInstaller(folder: try cache())
        if !own.isInstalled {
            Terminal.step("fetching uv \(ToolsInstaller.version) (once)")
            try own.install()
        }
        return own.path
    }

    /// Read from the archive of advisories once, and kept in the caller's cache.
    /// - Returns: the file to name in requests.
    func records(of archive: String) throws -> String {
        struct Import: Encodable {
            let operation = "import"
            let path, output: String
        }
        guard let bytes = FileManager.default.contents(atPath: archive) else { throw CommandFailure("\(archive) can't be read", code: 2) }
        let digest = SHA256.hash(data: bytes).prefix(12).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        let kept = "\(try Self.cache())/advisories-\(digest).ndjson"
        if !Files.exists(kept) {
            Terminal.step("reading advisories")
            let source = URL(fileURLWithPath: archive).standardizedFileURL.path
            _ = try ask([UInt8](try JSONEncoder().encode(Import(path: source, output: kept))))
        }
        return kept
    }

    /// A folder of the caller's own.
    static func cache() throws -> String {
        let environment = ProcessInfo.processInfo.environment
        let base = environment["XDG_CACHE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? NSHomeDirectory() + "/.cache"
        let folder = base + "/casemate"
        try Files.makeDirectories(folder, mode: 0o700)
        return folder
    }

    /// How this machine reaches an index is its own affair; nothing else of the caller's decides what the tools do.
    private static var environment: [String: String] {
        let own = ["PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": NSHomeDirectory()]
        let passed = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE"]
        let given = ProcessInfo.processInfo.environment.filter { passed.contains($0.key) || passed.contains($0.key.uppercased()) }
        return own.merging(given) { own, _ in own }
    }

    /// - Parameter request: JSON with its `operation`.
    /// - Returns: the result's bytes.
    /// - Throws: `CommandFailure` with what the tools say is wrong.
    func ask(_ request: [UInt8]) throws -> [UInt8] {
        var result: [UInt8]?
        var problem: String?
        let status: Int32
        do {
            let environment = Self.environment.map { "\($0.key)=\($0.value)" }
            status = try Shell.run([python, "-I", "-S", program, "local", tools], environment: environment, input: request) {
                read($0, &result, &problem)
            }
        } catch {
            throw CommandFailure("\(python) can't be run: \(error)", code: 2)
        }
        if let problem { throw CommandFailure(problem, code: 2) }
        guard status == 0, let result else { throw CommandFailure("the checks ended before they were done", code: 2) }
        return result
    }

    private func read(_ line: [UInt8], _ result: inout [UInt8]?, _ problem: inout String?) {
        struct Line: Decodable {
            var progress: CheckProgress?
            var problem: String?
        }
        guard let read = try? JSONDecoder().decode(Line.self, from: Data(line)) else { return }
        if let progress = read.progress {
            Terminal.step("\(progress.check): \(progress.findings) finding(s) in \(progress.milliseconds) ms")
        } else if let said = read.problem {
            problem = said
        } else {
            result = line
        }
    }
}
