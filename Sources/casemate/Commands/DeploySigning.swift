import ArgumentParser
import CasemateModel
import CasemateVault
import Foundation
import Glibc

/// `FUNCTION=FILE`: a signature that was made elsewhere.
struct SignatureFile: ExpressibleByArgument {
    let function: FunctionLabel
    let path: String

    init?(argument: String) {
        let parts = argument.split(separator: "=", maxSplits: 1)
        guard parts.count == 2, let function = FunctionLabel(String(parts[0])) else { return nil }
        self.function = function
        path = String(parts[1])
    }
}

struct SigningOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Sign with this SSH key: a private key's file, or a public one's whose other half is in the agent.",
            valueName: "file"))
    var signKey: String?
    @Option(help: ArgumentHelp("A signature over what --print-statement shows, made elsewhere.", valueName: "function=file"))
    var signature: [SignatureFile] = []
    @Flag(help: "Print what is to be signed, of all functions or of the one that is named after PATH, and deploy nothing.")
    var printStatement = false

    var isSigning: Bool { signKey != nil || !signature.isEmpty }

    /// - Returns: per function, armored.
    /// - Throws: `CommandFailure` for what can't be signed.
    func signatures(of statements: [DeploymentStatement]) throws -> [String: String]? {
        guard isSigning else { return nil }
        var signatures: [String: String] = [:]
        for file in signature {
            guard statements.contains(where: { $0.function.function == file.function }) else {
                throw CommandFailure("--signature \(file.function)=…: the manifest has no function \(file.function)", code: 2)
            }
            guard let data = FileManager.default.contents(atPath: file.path), data.count <= 65_536,
                let text = String(data: data, encoding: .utf8)
            else { throw CommandFailure("\(file.path) can't be read, or is no signature", code: 2) }
            signatures[file.function.text] = text
        }
        guard let signKey else { return signatures }
        for statement in statements where signatures[statement.function.function.text] == nil {
            signatures[statement.function.function.text] = try SSHSigning.sign(statement.text, with: signKey)
        }
        return signatures
    }
}

/// Signs with the SSH key that people have already; the private half is ssh-keygen's or the agent's to touch.
enum SSHSigning {
    static func sign(_ text: String, with key: String) throws -> String {
        guard FileManager.default.fileExists(atPath: key) else { throw CommandFailure("\(key) does not exist", code: 2) }
        var template = Array((NSTemporaryDirectory() + "casemate-sign-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw CommandFailure("no temporary folder could be made", code: 2) }
        let folder = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let file = folder + "/statement"
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        // The user's own, wherever that is; it gets their key.
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").filter { $0.hasPrefix("/") }
        guard let program = folders.map({ "\($0)/ssh-keygen" }).first(where: FileManager.default.isExecutableFile) else {
            throw CommandFailure("ssh-keygen is not installed; apt-get install openssh-client", code: 2)
        }
        let (status, output) = try Shell.run(
            [program, "-Y", "sign", "-n", DeploymentStatement.signatureNamespace, "-f", key, file],
            keeping: ["SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "SSH_SK_PROVIDER", "DISPLAY", "WAYLAND_DISPLAY", "TERM"])
        guard status == 0, let data = FileManager.default.contents(atPath: file + ".sig") else {
            throw CommandFailure("ssh-keygen could not sign with \(key):\n\(Terminal.visible(output))", code: 2)
        }
        return String(decoding: data, as: UTF8.self)
    }
}

extension DeploymentStatement {
    /// For a manifest's text, as it is sent.
    init(function: FunctionName, manifest: String, source: Source) {
        self.init(function: function, manifestDigest: HexDigest.sha256(Array(manifest.utf8)), source: source)
    }
}
