import CasemateModel
import Foundation
import Testing

@testable import CasemateVault

/// What needs the one SoftHSM of this process: its library is initialized once at a time, so its tests run one after the other.
@Suite("With a SoftHSM token", .serialized) struct SoftHSM {}

/// A token of SoftHSM 2 in a folder of its own.
struct TestToken: Sendable {
    let label: String
    /// Where SoftHSM keeps the token's files.
    let folder = Workshop.folder + "/tokens"
    let pinPath = Workshop.folder + "/pin"

    static let library = "/usr/lib/softhsm/libsofthsm2.so"
    static let pin = "correct-horse-4711"

    func address(library: String = library, object: String = "kek", more: String = "") -> String {
        "pkcs11:token=\(label);object=\(object)\(more)?module-path=\(library)&pin-source=\(pinPath)"
    }

    func writePIN(_ pin: String, mode: mode_t = 0o600) throws {
        // A file of its own each time, as `install` makes it: never the old time stamp.
        unlink(pinPath)
        try Data(pin.utf8).write(to: URL(fileURLWithPath: pinPath))
        chmod(pinPath, mode)
    }

    /// Runs pkcs11-tool, logged in.
    @discardableResult
    func tool(_ arguments: String...) throws -> String { try tool(arguments) }

    /// As an operator does.
    func makeKey(id: String, type: String = "AES:32", label: String = "kek", _ more: String...) throws {
        let attributes = ["--key-type", type, "--label", label, "--id", id, "--sensitive", "--private", "--usage-decrypt"]
        try tool(["--keygen"] + attributes + more)
    }

    @discardableResult
    private func tool(_ arguments: [String]) throws -> String {
        try Workshop.run(
            "/usr/bin/pkcs11-tool", ["--module", Self.library, "--token-label", label, "--login", "--pin", Self.pin] + arguments)
    }
}

/// A token with a PIN file, and a provider that is closed afterwards; both are gone when `body` is done.
func withToken(_ body: (TestToken) async throws -> Void) async throws {
    let token = TestToken(label: "casemate-test")
    try Workshop.open()
    defer { Workshop.close() }
    try Workshop.run(
        "/usr/bin/softhsm2-util",
        ["--init-token", "--free", "--label", token.label, "--so-pin", "officer-0815", "--pin", TestToken.pin])
    try token.writePIN(TestToken.pin + "\n")
    try await body(token)
}

func withProvider<R>(_ address: String, _ body: (PKCS11KeyProvider) async throws -> R) async throws -> R {
    let provider = try PKCS11KeyProvider(address)
    do {
        let result = try await body(provider)
        // Before the next test makes another token: SoftHSM looks at its folder when it is initialized.
        await provider.close()
        return result
    } catch {
        await provider.close()
        throw error
    }
}

/// The folder of this process's tests, and what runs in it.
enum Workshop {
    static let folder: String = {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("casemate-pkcs11-\(getpid())").path
        // Before any library of SoftHSM is loaded, which reads it when it is initialized.
        setenv("SOFTHSM2_CONF", folder + "/softhsm2.conf", 1)
        return folder
    }()

    static func open() throws {
        try FileManager.default.createDirectory(atPath: folder + "/tokens", withIntermediateDirectories: true)
        try "directories.tokendir = \(folder)/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
            .write(toFile: folder + "/softhsm2.conf", atomically: true, encoding: .utf8)
    }

    static func close() { try? FileManager.default.removeItem(atPath: folder) }

    struct Failed: Error, CustomStringConvertible {
        let description: String
    }

    /// - Returns: both outputs.
    @discardableResult
    static func run(_ program: String, _ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        var environment = ProcessInfo.processInfo.environment
        environment["SOFTHSM2_CONF"] = folder + "/softhsm2.conf"
        process.environment = environment
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failed(description: "\(program) \(arguments.joined(separator: " ")): \(output)") }
        return output
    }
}

/// The reason of `.unavailable`.
func unavailable(_ body: () async throws -> Void) async throws -> String {
    let error = await #expect(throws: KeyProviderError.self) { try await body() }
    guard case .unavailable(let reason)? = error else {
        Issue.record("not unavailable but \(String(describing: error))")
        return ""
    }
    #expect(!reason.contains(TestToken.pin))
    return reason
}
